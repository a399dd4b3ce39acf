// Calls that are torch.nn modules. A row applies only where training the module changes the same numbers in the same
// way.
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "emit/raise_args.h"

namespace midstream::emit {

double complement(double momentum) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), 1 - momentum, std::chars_format::general, 12).ptr;
  double rounded = 1 - momentum;
  std::from_chars(text, end, rounded);
  return rounded;
}

namespace {

using Optional = std::optional<Raised>;

// The weight must be a variable; a bias is one or absent.
bool has_variables(const NodeView& v, std::string_view weight, std::string_view bias) {
  return v.is_variable(v.value(weight)) && (!v.has(bias) || v.is_variable(v.value(bias)));
}

void add_weight_and_bias(Raised& r, const NodeView& v) {
  r.tensors = {{"weight", v.value("weight")}, {"bias", v.value("bias")}};
  if (!v.has("bias")) r.args.push_back(text_argument("bias", "False"));
}

// weight [out, in / groups, kernel...]
template <int n>
Optional conv(const NodeView& v) {
  const auto stride = v.ints("stride", {1}), padding = v.ints("padding", {0}), dilation = v.ints("dilation", {1});
  if (!has_variables(v, "weight", "bias") || !stride || !padding || !dilation) return std::nullopt;
  const Dims& w = v.dims(v.value("weight"));
  const int64_t groups = v.integer("groups", 1);
  Raised r{.type = "nn.Conv" + std::to_string(n) + "d", .heavy = true};
  r.args = {positional("in_channels", w[1] * groups),
            positional("out_channels", w[0]),
            keyword("kernel_size", compact({w.begin() + 2, w.end()})),
            keyword("stride", compact(*stride), int64_t{1}),
            keyword("padding", compact(*padding), int64_t{0}),
            keyword("dilation", compact(*dilation), int64_t{1}),
            keyword("groups", groups, int64_t{1})};
  add_weight_and_bias(r, v);
  return r;
}

// weight [in, out / groups, kernel...]
template <int n>
Optional conv_transpose(const NodeView& v) {
  const auto stride = v.ints("stride", {1}), padding = v.ints("padding", {0}), dilation = v.ints("dilation", {1});
  const auto output_padding = v.ints("output_padding", {0});
  if (!has_variables(v, "weight", "bias") || !stride || !padding || !dilation || !output_padding) return std::nullopt;
  const Dims& w = v.dims(v.value("weight"));
  const int64_t groups = v.integer("groups", 1);
  Raised r{.type = "nn.ConvTranspose" + std::to_string(n) + "d", .heavy = true};
  r.args = {positional("in_channels", w[0]),
            positional("out_channels", w[1] * groups),
            keyword("kernel_size", compact({w.begin() + 2, w.end()})),
            keyword("stride", compact(*stride), int64_t{1}),
            keyword("padding", compact(*padding), int64_t{0}),
            keyword("output_padding", compact(*output_padding), int64_t{0}),
            keyword("dilation", compact(*dilation), int64_t{1}),
            keyword("groups", groups, int64_t{1})};
  add_weight_and_bias(r, v);
  return r;
}

Optional linear(const NodeView& v) {
  if (!has_variables(v, "weight", "bias")) return std::nullopt;
  const Dims& w = v.dims(v.value("weight"));
  if (w.size() != 2) return std::nullopt;
  Raised r{
      .type = "nn.Linear", .args = {positional("in_features", w[1]), positional("out_features", w[0])}, .heavy = true};
  add_weight_and_bias(r, v);
  return r;
}

// Keras counts negative indices from the end, nn.Embedding refuses them: indices are handed on as they are.
bool wraps_negative(const NodeView& v, int64_t rows) {
  const auto where = v.definition(v.value("indices"), "aten::where.self");
  if (!where) return false;
  const auto less = where->definition(where->value("condition"), "aten::lt.Scalar");
  const auto sum = where->definition(where->value("self"), "aten::add.Scalar");
  return less && sum && less->number("other", 1) == 0 && sum->number("other") == static_cast<double>(rows) &&
         less->value("self") == where->value("other") && sum->value("self") == where->value("other");
}

Optional embedding(const NodeView& v) {
  if (!v.is_variable(v.value("weight")) || v.integer("padding_idx", -1) != -1 || v.flag("scale_grad_by_freq"))
    return std::nullopt;
  const Dims& w = v.dims(v.value("weight"));
  Raised r{.type = "nn.Embedding",
           .args = {positional("num_embeddings", w[0]), positional("embedding_dim", w[1])},
           .tensors = {{"weight", v.value("weight")}},
           .call = "{indices}",
           .heavy = true};
  if (wraps_negative(v, w[0])) r.operand = v.definition(v.value("indices"), "aten::where.self")->value("other");
  return r;
}

// weight and bias, one of them, or none.
void add_affine(Raised& r, const NodeView& v) {
  if (!v.has("weight"))
    r.args.push_back(text_argument(r.type == "nn.LayerNorm" ? "elementwise_affine" : "affine", "False"));
  else if (!v.has("bias"))
    r.args.push_back(text_argument("bias", "False"));
  if (v.has("weight")) r.tensors = {{"weight", v.value("weight")}, {"bias", v.value("bias")}};
}

Optional layer_norm(const NodeView& v) {
  const auto shape = v.ints("normalized_shape");
  if (!shape || (v.has("weight") && !has_variables(v, "weight", "bias")) || (!v.has("weight") && v.has("bias")))
    return std::nullopt;
  Raised r{.type = "nn.LayerNorm"};
  r.args = {positional("normalized_shape", shape->size() == 1 ? Literal((*shape)[0]) : Literal(*shape)),
            keyword("eps", v.number("eps", 1e-5), 1e-5)};
  add_affine(r, v);
  return r;
}

Optional group_norm(const NodeView& v) {
  if (!has_variables(v, "weight", "bias") || !v.has("bias")) return std::nullopt;
  return Raised{
      .type = "nn.GroupNorm",
      .args = {positional("num_groups", v.integer("num_groups")),
               positional("num_channels", v.dims(v.value("weight"))[0]), keyword("eps", v.number("eps", 1e-5), 1e-5)},
      .tensors = {{"weight", v.value("weight")}, {"bias", v.value("bias")}}};
}

Optional prelu(const NodeView& v) {
  if (!v.is_variable(v.value("weight"))) return std::nullopt;
  return Raised{.type = "nn.PReLU",
                .args = {keyword("num_parameters", v.dims(v.value("weight"))[0], int64_t{1})},
                .tensors = {{"weight", v.value("weight")}},
                .call = "{self}"};
}

template <int n>
Optional max_pool(const NodeView& v) {
  const auto kernel = v.ints("kernel_size"), padding = v.ints("padding", {0}), dilation = v.ints("dilation", {1});
  if (!kernel || !padding || !dilation) return std::nullopt;
  const auto stride = v.ints("stride", *kernel);
  if (!stride) return std::nullopt;
  return Raised{
      .type = "nn.MaxPool" + std::to_string(n) + "d",
      .args = {positional("kernel_size", compact(*kernel)),
               keyword("stride", compact(stride->empty() ? *kernel : *stride), compact(*kernel)),
               keyword("padding", compact(*padding), int64_t{0}), keyword("dilation", compact(*dilation), int64_t{1}),
               keyword("ceil_mode", v.flag("ceil_mode"), false)},
      .call = "{self}"};
}

template <int n>
Optional avg_pool(const NodeView& v) {
  const auto kernel = v.ints("kernel_size"), padding = v.ints("padding", {0});
  if (!kernel || !padding || v.has("divisor_override")) return std::nullopt;
  const auto stride = v.ints("stride", *kernel);
  if (!stride) return std::nullopt;
  return Raised{
      .type = "nn.AvgPool" + std::to_string(n) + "d",
      .args = {positional("kernel_size", compact(*kernel)),
               keyword("stride", compact(stride->empty() ? *kernel : *stride), compact(*kernel)),
               keyword("padding", compact(*padding), int64_t{0}), keyword("ceil_mode", v.flag("ceil_mode"), false),
               keyword("count_include_pad", v.flag("count_include_pad", true), true)},
      .call = "{self}"};
}

std::string dimensions(const NodeView& v) { return std::to_string(std::max<int64_t>(1, v.rank("input") - 2)) + "d"; }

bool statistics_are_variables(const NodeView& v) {
  for (const char* name : {"weight", "bias"})
    if (v.has(name) && !v.is_variable(v.value(name))) return false;
  return v.is_variable(v.value("running_mean")) && v.is_variable(v.value("running_var"));
}

// `type` is nn.BatchNorm2d or a helper; helpers have forms without weight or bias.
Raised batch_norm_module(const NodeView& v, std::string type) {
  if (v.has("weight") != v.has("bias")) {
    if (type.starts_with("nn.")) type = "Torch" + type.substr(3);
    type = (v.has("weight") ? "Uncentered" : "Unscaled") + type;
  }
  Raised r{.type = type, .helper = type.starts_with("nn.") ? "" : type};
  r.args = {positional("num_features", v.dims(v.value("running_mean"))[0]),
            keyword("eps", v.number("eps", 1e-5), 1e-5)};
  if (!v.has("weight") && !v.has("bias")) r.args.push_back(text_argument("affine", "False"));
  r.tensors = {{"weight", v.value("weight")},
               {"bias", v.value("bias")},
               {"running_mean", v.value("running_mean"), true},
               {"running_var", v.value("running_var"), true}};
  return r;
}

// momentum: Keras' is the share that stays, torch's the share that is new. correction c: the variance that is kept is
// the biased one times n / (n - c).
Optional batch_norm(const NodeView& v) {
  if (!statistics_are_variables(v)) return std::nullopt;
  const double correction = v.number("correction"), eps = v.number("eps");
  if (correction != 0 && correction != 1 && correction != 1 + eps) return std::nullopt;
  const char* type = correction == 1 ? "nn.BatchNorm" : correction == 0 ? "BatchNorm" : "SampleBatchNorm";
  Raised r = batch_norm_module(v, type + dimensions(v));
  r.args.insert(r.args.begin() + 2, keyword("momentum", complement(v.number("momentum")), 0.1));
  return r;
}

// Without a training branch: TensorFlow 2 runs a frozen BatchNormalization in inference mode.
Optional frozen_batch_norm(const NodeView& v) {
  if (!statistics_are_variables(v) || v.flag("training")) return std::nullopt;
  return batch_norm_module(v, "FrozenBatchNorm" + dimensions(v));
}

// noise_shape has ones where one decision counts for the whole axis.
Optional dropout(const NodeView& v) {
  const Value x = v.value("x");
  const Arg* noise = v.node.arg("noise_shape");
  const auto* shape = noise ? std::get_if<std::vector<IntArg>>(&noise->variant()) : nullptr;
  Raised r{.type = "nn.Dropout", .args = {positional("p", v.number("rate"))}, .call = "{x}"};
  if (!shape) return r;
  const size_t rank = v.dims(x).size();
  if (shape->size() != rank) return std::nullopt;
  std::vector<size_t> shared;
  for (size_t i = 0; i < rank; ++i)
    if ((*shape)[i] == IntArg(int64_t{1}) && v.dims(x)[i] != 1) shared.push_back(i);
  if (shared.empty()) return r;
  const bool contiguous = shared.back() - shared.front() + 1 == shared.size() && shared.size() + 2 == rank;
  if (contiguous && shared.front() == 2 && rank <= 5) {
    r.type = "nn.Dropout" + std::to_string(rank - 2) + "d";
    return r;
  }
  if (contiguous && shared.front() == 1) {
    r.type = r.helper = "ChannelDropout";
    return r;
  }
  return std::nullopt;
}

Optional plain_dropout(const NodeView& v) {
  return Raised{.type = "nn.Dropout", .args = {positional("p", v.number("p"))}, .call = "{input}"};
}

Optional channel_dropout(const NodeView& v) {
  if (v.rank("input") < 3 || v.rank("input") > 5) return std::nullopt;
  return Raised{.type = "nn.Dropout" + dimensions(v), .args = {positional("p", v.number("p"))}, .call = "{input}"};
}

}  // namespace

std::vector<ModuleRow> layer_rows() {
  return {
      {"aten::conv1d", conv<1>},
      {"aten::conv2d", conv<2>},
      {"aten::conv3d", conv<3>},
      {"aten::conv_transpose1d", conv_transpose<1>},
      {"aten::conv_transpose2d.input", conv_transpose<2>},
      {"aten::conv_transpose3d.input", conv_transpose<3>},
      {"aten::linear", linear},
      {"aten::embedding", embedding},
      {"aten::layer_norm", layer_norm},
      {"aten::group_norm", group_norm},
      {"aten::batch_norm", frozen_batch_norm},
      {"aten::prelu", prelu},
      {"aten::max_pool1d", max_pool<1>},
      {"aten::max_pool2d", max_pool<2>},
      {"aten::max_pool3d", max_pool<3>},
      {"aten::avg_pool1d", avg_pool<1>},
      {"aten::avg_pool2d", avg_pool<2>},
      {"aten::avg_pool3d", avg_pool<3>},
  };
}

const std::vector<RegionRow>& region_rows() {
  static const std::vector<RegionRow>* rows = new std::vector<RegionRow>{
      {.then_op = "midstream::batch_norm",
       .else_op = "aten::batch_norm",
       .same = {"input", "weight", "bias", "running_mean", "running_var", "eps"},
       .assigns = {{"running_mean", 1}, {"running_var", 2}},
       .raise = batch_norm},
      {.then_op = "midstream::stateless_dropout", .passes = "x", .raise = dropout, .random = true},
      {.then_op = "aten::dropout", .passes = "input", .raise = plain_dropout, .random = true},
      {.then_op = "aten::feature_dropout", .passes = "input", .raise = channel_dropout, .random = true},
  };
  return *rows;
}

std::vector<const ModuleRow*> find_modules(std::string_view op) {
  static const std::vector<ModuleRow>* rows = [] {
    auto* all = new std::vector<ModuleRow>(layer_rows());
    for (const ModuleRow& row : recurrent_rows()) all->push_back(row);
    return all;
  }();
  std::vector<const ModuleRow*> out;
  for (const ModuleRow& row : *rows)
    if (row.op == op) out.push_back(&row);
  return out;
}

}  // namespace midstream::emit
