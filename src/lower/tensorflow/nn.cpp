// Neural network ops that are neither convolutions nor elementwise: bias, normalization, softmax, losses.
#include "lower/math/activations.h"
#include "lower/math/losses.h"
#include "lower/math/normalization.h"
#include "lower/registry.h"
#include "lower/tensorflow/fold.h"
#include "lower/tensorflow/layout.h"

namespace midstream::tensorflow {
namespace {

void bias_add(Op& op) {
  op.expect_attrs({"data_format"});
  op.output(math::bias_add(op.b, op.input(0), op.input(1), layout_of(op)));
}

// TensorFlow differentiates inference by neither statistic.
Value statistic(Builder& b, Value v) {
  const ValueInfo& info = b.graph().info(v);
  const bool fixed =
      info.leaf == LeafKind::Constant ||
      (info.leaf == LeafKind::Variable && !b.graph().variables->at(static_cast<size_t>(info.index)).trainable);
  return fixed ? v : b.unary("aten::detach", v);
}

// x, scale, offset, mean, variance -> y, batch_mean, batch_variance, reserve spaces. In training the variance that
// comes out is the unbiased one, and exponential_avg_factor says how much of it goes into the running one.
void fused_batch_norm(Op& op) {
  op.expect_attrs({"epsilon", "exponential_avg_factor", "data_format", "is_training"});
  Builder& b = op.b;
  const math::Layout layout = layout_of(op);
  Value x_ncs = math::to_channels_first(b, op.input(0), layout), scale = op.input(1), offset = op.input(2);
  const double epsilon = op.number("epsilon", 1e-4F), factor = op.number("exponential_avg_factor", 1);
  Value y_ncs, mean, variance;
  if (op.flag("is_training", true)) {
    const bool running = factor != 1;
    auto out = math::batch_norm_training(b, x_ncs, scale, offset, running ? op.input(3) : Value{},
                                         running ? op.input(4) : Value{},
                                         {.epsilon = epsilon, .momentum = running ? 1 - factor : 0.0, .correction = 1});
    y_ncs = out.y, mean = out.mean, variance = out.variance;
  } else {
    mean = statistic(b, op.input(3)), variance = statistic(b, op.input(4));
    y_ncs = math::batch_norm_inference(b, x_ncs, scale, offset, mean, variance, epsilon);
  }
  op.output(math::from_channels_first(b, y_ncs, layout));
  for (int i = 0; i < 2; ++i) {
    op.output(mean);
    op.output(variance);
  }
  op.output(variance);
}

void softmax(Op& op) {
  op.expect_attrs({});
  op.output(math::softmax(op.b, op.input(0), -1));
}

void log_softmax(Op& op) {
  op.expect_attrs({});
  op.output(math::log_softmax(op.b, op.input(0), -1));
}

// features, labels -> loss, backprop (softmax - labels, which only TensorFlow's own gradient graphs use).
void softmax_cross_entropy(Op& op) {
  op.expect_attrs({});
  Value logits = op.input(0), labels = op.input(1);
  op.output(math::softmax_cross_entropy(op.b, labels, logits));
  op.output(op.b.sub(math::softmax(op.b, logits), labels));
}

void sparse_softmax_cross_entropy(Op& op) {
  op.expect_attrs({});
  Builder& b = op.b;
  Value logits = op.input(0), labels = b.cast(op.input(1), DType::Int64);
  op.output(math::sparse_softmax_cross_entropy(b, labels, logits));
  Value classes = b.call("aten::arange", {{"end", b.size(logits, -1)}, {"dtype", DType::Int64}});
  Value one_hot = b.cast(b.compare("eq", b.unsqueeze(labels, 1), classes), b.dtype(logits));
  op.output(b.sub(math::softmax(b, logits), one_hot));
}

// Local response normalization: x / (bias + alpha * sum of x^2 over 2 r + 1 channels)^beta.
void lrn(Op& op) {
  op.expect_attrs({"depth_radius", "bias", "alpha", "beta"});
  Builder& b = op.b;
  Value x = op.input(0);
  const int64_t radius = op.integer("depth_radius", 5), width = 2 * radius + 1;
  Value squares = b.pad(b.square(x), {Int(radius), Int(radius)});
  Value windows = b.call("aten::unfold", {{"self", squares}, {"dimension", 3}, {"size", width}, {"step", 1}});
  Value base = b.add(b.mul(b.sum(windows, {4}), op.number("alpha", 1)), op.number("bias", 1));
  op.output(b.div(x, b.call("aten::pow.Tensor_Scalar", {{"self", base}, {"exponent", op.number("beta", 0.5)}})));
}

}  // namespace

void register_nn(Registry& r) {
  const std::vector<std::string> outputs{
      "y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2", "reserve_space_3"};
  r.tf("BiasAdd", bias_add);
  r.tf("BiasAddV1", bias_add);
  for (const char* name : {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
    r.tf(name, fused_batch_norm, outputs);
  r.tf("Softmax", softmax);
  r.tf("LogSoftmax", log_softmax);
  r.tf("SoftmaxCrossEntropyWithLogits", softmax_cross_entropy, {"loss", "backprop"});
  r.tf("SparseSoftmaxCrossEntropyWithLogits", sparse_softmax_cross_entropy, {"loss", "backprop"});
  r.tf("LRN", lrn);
}

}  // namespace midstream::tensorflow
