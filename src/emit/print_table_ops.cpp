// Arithmetic, activations, reductions, pooling and the like: one row each.
#include <algorithm>
#include <unordered_map>

#include "emit/print_table.h"

namespace midstream::emit {
namespace {

std::string symbol(std::string_view how) {
  if (how == "eq") return "==";
  if (how == "ne") return "!=";
  if (how == "lt") return "<";
  if (how == "le") return "<=";
  return how == "gt" ? ">" : ">=";
}

// aten::hardtanh with ReLU6's limits.
std::optional<Expr> relu6(const NodeView& v) {
  if (v.number("min_val", -1) != 0 || v.number("max_val", 1) != 6) return std::nullopt;
  return Expr{}.text("F.relu6(").operand(v.value("self")).text(")");
}

// Functions of one tensor that differ in nothing but the name.
void add_functions(std::vector<OpRow>& rows, const std::string& prefix, std::initializer_list<const char*> names) {
  for (const std::string name : names) rows.push_back({"aten::" + name, {prefix + name + "({self})"}});
}

void add_comparisons(std::vector<OpRow>& rows) {
  for (const std::string how : {"eq", "ne", "lt", "le", "gt", "ge"}) {
    for (const char* overload : {".Tensor", ".Scalar"})
      rows.push_back({"aten::" + how + overload, {"{self~} " + symbol(how) + " {other~}"}, kCompare});
    rows.push_back({"midstream::int_" + how, {"{a} " + symbol(how) + " {b}"}, kCompare});
  }
}

}  // namespace

std::vector<OpRow> operator_rows() {
  std::vector<OpRow> rows{
      // --- arithmetic
      {"aten::add.Tensor", {"{self~} + {other~}", "torch.add({self}, {other}{, alpha})"}, kSum},
      {"aten::add.Scalar", {"{self} + {other}", "torch.add({self}, {other}{, alpha})"}, kSum},
      {"aten::sub.Tensor", {"{self~} - {other~}", "torch.sub({self}, {other}{, alpha})"}, kSum},
      {"aten::sub.Scalar", {"{self} - {other}", "torch.sub({self}, {other}{, alpha})"}, kSum},
      {"aten::rsub.Scalar", {"{other} - {self}"}, kSum},
      {"aten::mul.Tensor", {"{self~} * {other~}"}, kProduct},
      {"aten::mul.Scalar", {"{self} * {other}"}, kProduct},
      {"aten::div.Tensor", {"{self~} / {other~}"}, kProduct},
      {"aten::div.Scalar", {"{self} / {other}"}, kProduct},
      {"aten::div.Tensor_mode", {"torch.div({self}, {other}{, rounding_mode})"}},
      {"aten::div.Scalar_mode", {"torch.div({self}, {other}{, rounding_mode})"}},
      {"aten::floor_divide", {"{self} // {other}"}, kProduct},
      {"aten::remainder.Tensor", {"{self} % {other}"}, kProduct},
      {"aten::remainder.Scalar", {"{self} % {other}"}, kProduct},
      {"aten::fmod.Tensor", {"torch.fmod({self}, {other})"}},
      {"aten::pow.Tensor_Scalar", {"{self} ** {exponent}"}, kPower},
      {"aten::pow.Tensor_Tensor", {"{self} ** {exponent}"}, kPower},
      {"aten::pow.Scalar", {"{self} ** {exponent}"}, kPower},
      {"aten::neg", {"-{self}"}, kUnary},
      {"aten::maximum", {"torch.maximum({self}, {other})"}},
      {"aten::minimum", {"torch.minimum({self}, {other})"}},
      {"aten::clamp", {"{self}.clamp({min}, {max})", "{self}.clamp(min={min})", "{self}.clamp(max={max})"}},
      {"aten::clamp_min", {"{self}.clamp(min={min})"}},
      {"aten::clamp_max", {"{self}.clamp(max={max})"}},
      {"aten::matmul", {"{self} @ {other}"}, kProduct},
      {"aten::mm", {"{self} @ {mat2}"}, kProduct},
      {"aten::bmm", {"{self} @ {mat2}"}, kProduct},
      {"aten::addmm", {"torch.addmm({self}, {mat1}, {mat2}{, beta}{, alpha})"}},
      {"aten::linear", {"F.linear({input}, {weight}{, bias})"}},
      {"aten::einsum", {"torch.einsum({equation}, {*tensors})"}},
      {"aten::atan2", {"torch.atan2({self}, {other})"}},

      // --- logic
      {"aten::logical_and", {"?bool {self} & {other}", "torch.logical_and({self}, {other})"}, kBitAnd},
      {"aten::logical_or", {"?bool {self} | {other}", "torch.logical_or({self}, {other})"}, kBitOr},
      {"aten::logical_xor", {"?bool {self} ^ {other}", "torch.logical_xor({self}, {other})"}, kBitXor},
      {"aten::logical_not", {"?bool ~{self}", "torch.logical_not({self})"}, kUnary},
      {"aten::bitwise_and.Tensor", {"{self} & {other}"}, kBitAnd},
      {"aten::bitwise_or.Tensor", {"{self} | {other}"}, kBitOr},
      {"aten::bitwise_not", {"~{self}"}, kUnary},
      {"aten::where.self", {"torch.where({condition}, {self~}, {other~})"}},
      {"aten::masked_fill.Scalar", {"{self}.masked_fill({mask}, {value})"}},
      {"aten::masked_fill.Tensor", {"{self}.masked_fill({mask}, {value})"}},
      {"aten::any", {"{self}.any()"}},
      {"aten::any.dim", {"{self}.any(dim={dim%}{, keepdim})"}},
      {"aten::all", {"{self}.all()"}},
      {"aten::all.dim", {"{self}.all(dim={dim%}{, keepdim})"}},

      // --- activations
      {"aten::hardtanh", {"F.hardtanh({self}{, min_val}{, max_val})"}, kAtom, {}, relu6},
      {"aten::leaky_relu", {"F.leaky_relu({self}{, negative_slope})"}},
      {"aten::elu", {"F.elu({self}{, alpha})"}},
      {"aten::gelu", {"F.gelu({self}{, approximate})"}},
      {"aten::softplus", {"F.softplus({self}{, beta}{, threshold})"}},
      {"aten::hardshrink", {"F.hardshrink({self}{, lambd})"}},
      {"aten::softshrink", {"F.softshrink({self}{, lambd})"}},
      {"aten::threshold", {"F.threshold({self}, {threshold}, {value})"}},
      {"aten::glu", {"F.glu({self}{, dim})"}},
      {"aten::softmax.int", {"{self}.softmax(dim={dim%}{, dtype})"}},
      {"aten::log_softmax.int", {"{self}.log_softmax(dim={dim%}{, dtype})"}},
      {"aten::prelu", {"F.prelu({self}, {weight})"}},
      {"aten::log_sigmoid", {"F.logsigmoid({self})"}},

      // --- reductions and orders
      {"aten::sum", {"{self}.sum({dtype})", "{self}.sum()"}},
      {"aten::sum.dim_IntList", {"{self}.sum(dim={dim%}{, keepdim}{, dtype})"}},
      {"aten::mean", {"{self}.mean()"}},
      {"aten::mean.dim", {"{self}.mean(dim={dim%}{, keepdim}{, dtype})"}},
      {"aten::var.correction", {"{self}.var(dim={dim%}{, correction}{, keepdim})"}},
      {"aten::var_mean.correction", {"torch.var_mean({self}, dim={dim%}{, correction}{, keepdim})"}},
      {"aten::amax", {"{self}.amax(dim={dim%}{, keepdim})", "{self}.amax()"}},
      {"aten::amin", {"{self}.amin(dim={dim%}{, keepdim})", "{self}.amin()"}},
      {"aten::max", {"{self}.max()"}},
      {"aten::min", {"{self}.min()"}},
      {"aten::max.dim", {"{self}.max(dim={dim%}{, keepdim})"}},
      {"aten::min.dim", {"{self}.min(dim={dim%}{, keepdim})"}},
      {"aten::prod", {"{self}.prod()"}},
      {"aten::prod.dim_int", {"{self}.prod(dim={dim%}{, keepdim})"}},
      {"aten::argmax", {"{self}.argmax({dim}{, keepdim})", "{self}.argmax()"}},
      {"aten::argmin", {"{self}.argmin({dim}{, keepdim})", "{self}.argmin()"}},
      {"aten::cumsum", {"{self}.cumsum(dim={dim%}{, dtype})"}},
      {"aten::cumprod", {"{self}.cumprod(dim={dim%}{, dtype})"}},
      {"aten::sort", {"{self}.sort(dim={dim%}{, descending})", "{self}.sort()"}},
      {"aten::sort.stable", {"torch.sort({self}{, stable}{, dim}{, descending})"}},
      {"aten::argsort", {"{self}.argsort(dim={dim%}{, descending})", "{self}.argsort()"}},
      {"aten::topk", {"{self}.topk({k}{, dim}{, largest}{, sorted})"}},
      {"aten::logsumexp", {"{self}.logsumexp(dim={dim%}{, keepdim})"}},
      {"aten::linalg_vector_norm", {"torch.linalg.vector_norm({self}{, ord}{, dim}{, keepdim})"}},

      // --- layers without variables of their own
      {"aten::max_pool1d", {"F.max_pool1d({self}, {kernel_size%}{, stride%}{, padding%}{, dilation%}{, ceil_mode})"}},
      {"aten::max_pool2d", {"F.max_pool2d({self}, {kernel_size%}{, stride%}{, padding%}{, dilation%}{, ceil_mode})"}},
      {"aten::max_pool3d", {"F.max_pool3d({self}, {kernel_size%}{, stride%}{, padding%}{, dilation%}{, ceil_mode})"}},
      {"aten::avg_pool1d",
       {"F.avg_pool1d({self}, {kernel_size%}{, stride%}{, padding%}{, ceil_mode}{, count_include_pad})"}},
      {"aten::avg_pool2d",
       {"F.avg_pool2d({self}, {kernel_size%}{, stride%}{, padding%}{, ceil_mode}{, count_include_pad}{, "
        "divisor_override})"}},
      {"aten::avg_pool3d",
       {"F.avg_pool3d({self}, {kernel_size%}{, stride%}{, padding%}{, ceil_mode}{, count_include_pad}{, "
        "divisor_override})"}},
      {"aten::adaptive_avg_pool1d", {"F.adaptive_avg_pool1d({self}, {output_size%})"}},
      {"aten::adaptive_avg_pool2d", {"F.adaptive_avg_pool2d({self}, {output_size%})"}},
      {"aten::adaptive_avg_pool3d", {"F.adaptive_avg_pool3d({self}, {output_size%})"}},
      {"aten::adaptive_max_pool1d", {"F.adaptive_max_pool1d({self}, {output_size}, return_indices=True)"}},
      {"aten::adaptive_max_pool3d", {"F.adaptive_max_pool3d({self}, {output_size}, return_indices=True)"}},
      {"aten::adaptive_max_pool2d", {"F.adaptive_max_pool2d({self}, {output_size}, return_indices=True)"}},
      {"aten::conv1d", {"F.conv1d({input}, {weight}{, bias}{, stride%}{, padding%}{, dilation%}{, groups})"}},
      {"aten::conv2d", {"F.conv2d({input}, {weight}{, bias}{, stride%}{, padding%}{, dilation%}{, groups})"}},
      {"aten::conv3d", {"F.conv3d({input}, {weight}{, bias}{, stride%}{, padding%}{, dilation%}{, groups})"}},
      {"aten::conv_transpose1d",
       {"F.conv_transpose1d({input}, {weight}{, bias}{, stride%}{, padding%}{, output_padding%}{, groups}{, "
        "dilation%})"}},
      {"aten::conv_transpose2d.input",
       {"F.conv_transpose2d({input}, {weight}{, bias}{, stride%}{, padding%}{, output_padding%}{, groups}{, "
        "dilation%})"}},
      {"aten::conv_transpose3d.input",
       {"F.conv_transpose3d({input}, {weight}{, bias}{, stride%}{, padding%}{, output_padding%}{, groups}{, "
        "dilation%})"}},
      {"aten::batch_norm",
       {"F.batch_norm({input}, {running_mean}, {running_var}{, weight}{, bias}{, training}{, momentum}{, "
        "eps}{-cudnn_enabled})"}},
      {"aten::layer_norm", {"F.layer_norm({input}, {normalized_shape}{, weight}{, bias}{, eps}{-cudnn_enable})"}},
      {"aten::group_norm", {"F.group_norm({input}, {num_groups}{, weight}{, bias}{, eps})"}},
      {"aten::rms_norm", {"F.rms_norm({input}, {normalized_shape}{, weight}{, eps})"}},
      {"aten::embedding", {"F.embedding({indices}, {weight}{-sparse})"}},
      {"aten::one_hot", {"F.one_hot({self}, {num_classes})", "F.one_hot({self})"}},
      {"aten::scaled_dot_product_attention",
       {"F.scaled_dot_product_attention({query}, {key}, {value}{, attn_mask}{, dropout_p}{, is_causal}{, scale})"}},
      {"aten::upsample_nearest1d", {"F.interpolate({self}, size={output_size%})"}},
      {"aten::upsample_nearest2d", {"F.interpolate({self}, size={output_size%})"}},
      {"aten::_upsample_nearest_exact2d", {"F.interpolate({self}, size={output_size}, mode=\"nearest-exact\")"}},
      {"aten::upsample_nearest2d.vec",
       {"F.interpolate({input}, scale_factor={scale_factors})", "F.interpolate({input}, size={output_size%})"}},
      {"aten::upsample_bilinear2d", {"F.interpolate({self}, size={output_size}, mode=\"bilinear\"{, align_corners})"}},
      {"aten::upsample_bilinear2d.vec",
       {"F.interpolate({input}, scale_factor={scale_factors}, mode=\"bilinear\"{, align_corners})",
        "F.interpolate({input}, size={output_size}, mode=\"bilinear\"{, align_corners})"}},
      {"aten::upsample_bicubic2d", {"F.interpolate({self}, size={output_size}, mode=\"bicubic\"{, align_corners})"}},
      {"aten::lstm.input",
       {"torch.lstm({input}, {hx}, {params}, {has_biases}, {num_layers}, {dropout}, {train}, {bidirectional}, "
        "{batch_first})"}},
      {"aten::gru.input",
       {"torch.gru({input}, {hx}, {params}, {has_biases}, {num_layers}, {dropout}, {train}, {bidirectional}, "
        "{batch_first})"}},
      {"aten::rnn_tanh.input",
       {"torch.rnn_tanh({input}, {hx}, {params}, {has_biases}, {num_layers}, {dropout}, {train}, {bidirectional}, "
        "{batch_first})"}},
      {"aten::rnn_relu.input",
       {"torch.rnn_relu({input}, {hx}, {params}, {has_biases}, {num_layers}, {dropout}, {train}, {bidirectional}, "
        "{batch_first})"}},

      // --- host integers and booleans
      {"midstream::int_add", {"{a} + {b}"}, kSum},
      {"midstream::int_sub", {"{a} - {b}"}, kSum},
      {"midstream::int_mul", {"{a} * {b}"}, kProduct},
      {"midstream::int_floordiv", {"{a} // {b}"}, kProduct},
      {"midstream::int_mod", {"{a} % {b}"}, kProduct},
      {"midstream::int_max", {"max({a}, {b})"}},
      {"midstream::int_min", {"min({a}, {b})"}},
      {"midstream::bool_and", {"{a} and {b}"}, kAnd},
      {"midstream::bool_or", {"{a} or {b}"}, kOr},
      {"midstream::bool_not", {"not {a}"}, kNot},
      {"midstream::tensor_to_int", {"int({a})"}},
      {"midstream::tensor_to_bool", {"bool({a})"}},
  };
  add_functions(rows, "F.", {"relu", "silu", "mish", "hardsigmoid", "hardswish", "selu", "softsign"});
  add_functions(rows, "torch.",
                {"exp",    "log",     "log1p",      "expm1", "sqrt",  "rsqrt",    "square", "abs",    "sign",
                 "floor",  "ceil",    "round",      "trunc", "sin",   "cos",      "tan",    "asin",   "acos",
                 "atan",   "sinh",    "cosh",       "tanh",  "asinh", "acosh",    "atanh",  "erf",    "erfc",
                 "erfinv", "sigmoid", "reciprocal", "isnan", "isinf", "isfinite", "lgamma", "digamma"});
  add_comparisons(rows);
  return rows;
}

const OpRow* find_op(std::string_view op) {
  static const std::unordered_map<std::string, OpRow>* table = [] {
    auto* out = new std::unordered_map<std::string, OpRow>;
    for (auto rows : {operator_rows(), shape_rows(), own_rows(), image_rows()})
      for (OpRow& row : rows) out->emplace(row.op, row);
    return out;
  }();
  const auto it = table->find(std::string(op));
  return it == table->end() ? nullptr : &it->second;
}

}  // namespace midstream::emit
