// The one alphabetical list of all families of lowerings. To add one: its declaration, its call, and its file's line in
// CMakeLists.txt. Registration is explicit because a static library drops static objects silently.
#include "lower/register_all.h"

#include "lower/registry.h"

namespace midstream {

namespace keras {
void register_activation_layers(Registry&);
void register_activations(Registry&);
void register_applications(Registry&);
void register_attention(Registry&);
void register_bidirectional(Registry&);
void register_constraints(Registry&);
void register_conv(Registry&);
void register_conv_lstm(Registry&);
void register_core(Registry&);
void register_dropout(Registry&);
void register_einsum_dense(Registry&);
void register_embedding(Registry&);
void register_grouped_query_attention(Registry&);
void register_keras1_layers(Registry&);
void register_locally_connected(Registry&);
void register_losses(Registry&);
void register_losses_keras3(Registry&);
void register_masking(Registry&);
void register_merge(Registry&);
void register_metrics_confusion(Registry&);
void register_metrics_iou(Registry&);
void register_metrics_mean(Registry&);
void register_metrics_scores(Registry&);
void register_multi_head_attention(Registry&);
void register_normalization(Registry&);
void register_operations(Registry&);
void register_operations_create(Registry&);
void register_operations_images(Registry&);
void register_operations_index(Registry&);
void register_operations_linalg(Registry&);
void register_operations_nn(Registry&);
void register_operations_numbers(Registry&);
void register_operations_reduce(Registry&);
void register_operations_shape(Registry&);
void register_operations_signal(Registry&);
void register_optimizers_adam(Registry&);
void register_optimizers_adaptive(Registry&);
void register_optimizers_sgd(Registry&);
void register_optimizers_whole(Registry&);
void register_pool(Registry&);
void register_preprocessing(Registry&);
void register_preprocessing_categories(Registry&);
void register_preprocessing_images(Registry&);
void register_preprocessing_random(Registry&);
void register_preprocessing_text(Registry&);
void register_recurrent(Registry&);
void register_regularizers(Registry&);
void register_reshaping(Registry&);
void register_schedules(Registry&);
void register_spectral_normalization(Registry&);
void register_tensorflow_op_layer(Registry&);
void register_spectrograms(Registry&);
void register_time_distributed(Registry&);
}  // namespace keras

namespace tensorflow {
void register_array(Registry&);
void register_control(Registry&);
void register_conv(Registry&);
void register_elementwise(Registry&);
void register_gather_scatter(Registry&);
void register_image(Registry&);
void register_list(Registry&);
void register_logic(Registry&);
void register_math(Registry&);
void register_nn(Registry&);
void register_random(Registry&);
void register_reduce(Registry&);
void register_rnn(Registry&);
void register_shape(Registry&);
void register_slice(Registry&);
void register_state(Registry&);
}  // namespace tensorflow

void register_all(Registry& r) {
  keras::register_activation_layers(r);
  keras::register_activations(r);
  keras::register_applications(r);
  keras::register_attention(r);
  keras::register_bidirectional(r);
  keras::register_constraints(r);
  keras::register_conv(r);
  keras::register_conv_lstm(r);
  keras::register_core(r);
  keras::register_dropout(r);
  keras::register_einsum_dense(r);
  keras::register_embedding(r);
  keras::register_grouped_query_attention(r);
  keras::register_keras1_layers(r);
  keras::register_locally_connected(r);
  keras::register_losses(r);
  keras::register_losses_keras3(r);
  keras::register_masking(r);
  keras::register_merge(r);
  keras::register_metrics_confusion(r);
  keras::register_metrics_iou(r);
  keras::register_metrics_mean(r);
  keras::register_metrics_scores(r);
  keras::register_multi_head_attention(r);
  keras::register_normalization(r);
  keras::register_operations(r);
  keras::register_operations_create(r);
  keras::register_operations_images(r);
  keras::register_operations_index(r);
  keras::register_operations_linalg(r);
  keras::register_operations_nn(r);
  keras::register_operations_numbers(r);
  keras::register_operations_reduce(r);
  keras::register_operations_shape(r);
  keras::register_operations_signal(r);
  keras::register_optimizers_adam(r);
  keras::register_optimizers_adaptive(r);
  keras::register_optimizers_sgd(r);
  keras::register_optimizers_whole(r);
  keras::register_pool(r);
  keras::register_preprocessing(r);
  keras::register_preprocessing_categories(r);
  keras::register_preprocessing_images(r);
  keras::register_preprocessing_random(r);
  keras::register_preprocessing_text(r);
  keras::register_recurrent(r);
  keras::register_regularizers(r);
  keras::register_reshaping(r);
  keras::register_schedules(r);
  keras::register_spectral_normalization(r);
  keras::register_tensorflow_op_layer(r);
  keras::register_spectrograms(r);
  keras::register_time_distributed(r);
  tensorflow::register_array(r);
  tensorflow::register_control(r);
  tensorflow::register_conv(r);
  tensorflow::register_elementwise(r);
  tensorflow::register_gather_scatter(r);
  tensorflow::register_image(r);
  tensorflow::register_list(r);
  tensorflow::register_logic(r);
  tensorflow::register_math(r);
  tensorflow::register_nn(r);
  tensorflow::register_random(r);
  tensorflow::register_reduce(r);
  tensorflow::register_rnn(r);
  tensorflow::register_shape(r);
  tensorflow::register_slice(r);
  tensorflow::register_state(r);
}

}  // namespace midstream
