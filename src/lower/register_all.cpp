// The one alphabetical list of all families of lowerings. To add one: its declaration, its call, and its file's line in
// CMakeLists.txt. Registration is explicit because a static library drops static objects silently.
#include "lower/register_all.h"

#include "lower/registry.h"

namespace midstream {

namespace keras {
void register_activation_layers(Registry&);
void register_activations(Registry&);
void register_bidirectional(Registry&);
void register_constraints(Registry&);
void register_conv(Registry&);
void register_core(Registry&);
void register_dropout(Registry&);
void register_embedding(Registry&);
void register_losses(Registry&);
void register_masking(Registry&);
void register_merge(Registry&);
void register_metrics_confusion(Registry&);
void register_metrics_mean(Registry&);
void register_multi_head_attention(Registry&);
void register_normalization(Registry&);
void register_operations(Registry&);
void register_operations_shape(Registry&);
void register_optimizers_adam(Registry&);
void register_optimizers_adaptive(Registry&);
void register_optimizers_sgd(Registry&);
void register_pool(Registry&);
void register_preprocessing(Registry&);
void register_recurrent(Registry&);
void register_regularizers(Registry&);
void register_reshaping(Registry&);
void register_schedules(Registry&);
void register_time_distributed(Registry&);
}  // namespace keras

namespace tensorflow {
// lower/tensorflow
}  // namespace tensorflow

void register_all(Registry& r) {
  keras::register_activation_layers(r);
  keras::register_activations(r);
  keras::register_bidirectional(r);
  keras::register_constraints(r);
  keras::register_conv(r);
  keras::register_core(r);
  keras::register_dropout(r);
  keras::register_embedding(r);
  keras::register_losses(r);
  keras::register_masking(r);
  keras::register_merge(r);
  keras::register_metrics_confusion(r);
  keras::register_metrics_mean(r);
  keras::register_multi_head_attention(r);
  keras::register_normalization(r);
  keras::register_operations(r);
  keras::register_operations_shape(r);
  keras::register_optimizers_adam(r);
  keras::register_optimizers_adaptive(r);
  keras::register_optimizers_sgd(r);
  keras::register_pool(r);
  keras::register_preprocessing(r);
  keras::register_recurrent(r);
  keras::register_regularizers(r);
  keras::register_reshaping(r);
  keras::register_schedules(r);
  keras::register_time_distributed(r);
}

}  // namespace midstream
