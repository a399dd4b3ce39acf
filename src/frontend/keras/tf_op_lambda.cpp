// TFOpLambda and SlicingOpLambda, the layers that tf.keras makes of TensorFlow calls between layers (x * 2, tf.concat,
// x[:, 0]), in the words of keras.ops, or as a layer "tf.<function>" where these have none like it. What is not in the
// table stays as it is and has no lowering.
#include <map>
#include <sstream>

#include "frontend/keras/inbound.h"

namespace midstream::keras {
namespace {

struct Row {
  const char* function;
  const char* layer;
  const char* arguments = "";  // keyword arguments that follow the first positional one, in this order
  const char* entries = "";    // keyword arguments that become entries of the config, under another name: "perm=axes"
  const char* defaults = "";   // entries where the call has none: "axis:0"
};

// clang-format off
constexpr Row kRows[] = {
    {"__operators__.add", "ops.Add", "y"},
    {"__operators__.getitem", "ops.GetItem", "slice_spec"},
    {"argsort", "ops.Argsort", "", "axis direction stable", "axis:-1"},
    {"broadcast_to", "ops.BroadcastTo", "shape"},
    {"cast", "ops.Cast", "", "dtype"},
    {"clip_by_value", "ops.Clip", "", "clip_value_min=x_min clip_value_max=x_max"},
    {"compat.v1.boolean_mask", "tf.boolean_mask", "mask", "axis"},
    {"compat.v1.floor_div", "ops.FloorDivide", "y"},
    {"compat.v1.gather_nd", "tf.gather_nd", "indices", "batch_dims"},
    {"compat.v1.gather", "tf.gather", "indices", "axis batch_dims"},
    {"compat.v1.nn.conv2d", "ops.Conv", "filter", "strides padding data_format dilations=dilation_rate"},
    {"compat.v1.norm", "ops.Norm", "", "ord axis keepdims"},
    {"compat.v1.pad", "ops.Pad", "paddings constant_values", "mode"},
    {"compat.v1.shape", "tf.shape", "", "out_type"},
    {"compat.v1.size", "tf.size", "", "out_type"},
    {"compat.v1.squeeze", "ops.Squeeze", "", "axis"},
    {"compat.v1.transpose", "ops.Transpose", "perm"},
    {"compat.v1.where", "ops.Where", "x y"},
    {"concat", "ops.Concatenate", "", "axis"},
    {"expand_dims", "ops.ExpandDims", "axis"},
    {"eye", "tf.eye", "num_columns", "dtype"},
    {"fill", "tf.fill", "value"},
    {"gather_nd", "tf.gather_nd", "indices", "batch_dims"},
    {"gather", "tf.gather", "indices", "axis batch_dims"},
    {"identity", "ops.Copy"},
    {"image.extract_patches", "ops.ExtractPatches", "", "sizes=size strides rates=dilation_rate padding"},
    {"image.resize", "ops.Resize", "size", "method=interpolation antialias"},
    {"image.rgb_to_grayscale", "ops.RGBToGrayscale"},
    {"linalg.band_part", "tf.linalg.band_part", "", "num_lower num_upper"},
    {"linalg.cholesky", "ops.Cholesky"},
    {"linalg.det", "ops.Det"},
    {"linalg.diag_part", "ops.Diagonal", "", "", "axis1:-2 axis2:-1"},
    {"linalg.inv", "ops.Inv"},
    {"linalg.logdet", "ops.Logdet"},
    {"linalg.matmul", "ops.Matmul", "b", "transpose_a transpose_b"},
    {"linalg.norm", "ops.Norm", "", "ord axis keepdims"},
    {"linalg.solve", "ops.Solve", "rhs"},
    {"linalg.trace", "ops.Trace", "", "", "axis1:-2 axis2:-1"},
    {"linspace", "ops.Linspace", "stop", "num axis"},
    {"math.abs", "ops.Absolute"},
    {"math.acosh", "ops.Arccosh"},
    {"math.acos", "ops.Arccos"},
    {"math.add_n", "tf.math.add_n"},
    {"math.add", "ops.Add", "y"},
    {"math.argmax", "tf.math.argmax", "", "axis output_type=dtype", "axis:0"},
    {"math.argmin", "tf.math.argmin", "", "axis output_type=dtype", "axis:0"},
    {"math.asinh", "ops.Arcsinh"},
    {"math.asin", "ops.Arcsin"},
    {"math.atan2", "ops.Arctan2", "x"},
    {"math.atanh", "ops.Arctanh"},
    {"math.atan", "ops.Arctan"},
    {"math.ceil", "ops.Ceil"},
    {"math.cosh", "ops.Cosh"},
    {"math.cos", "ops.Cos"},
    {"math.cumprod", "ops.Cumprod", "", "axis exclusive reverse", "axis:0"},
    {"math.cumsum", "ops.Cumsum", "", "axis exclusive reverse", "axis:0"},
    {"math.digamma", "ops.Digamma"},
    {"math.divide_no_nan", "ops.DivideNoNan", "y"},
    {"math.divide", "ops.TrueDivide", "y"},
    {"math.equal", "ops.Equal", "y"},
    {"math.erfc", "ops.Erfc"},
    {"math.erf", "ops.Erf"},
    {"math.expm1", "ops.Expm1"},
    {"math.exp", "ops.Exp"},
    {"math.floordiv", "ops.FloorDivide", "y"},
    {"math.floormod", "ops.Mod", "y"},
    {"math.floor", "ops.Floor"},
    {"math.greater_equal", "ops.GreaterEqual", "y"},
    {"math.greater", "ops.Greater", "y"},
    {"math.is_finite", "ops.Isfinite"},
    {"math.is_inf", "ops.Isinf"},
    {"math.is_nan", "ops.Isnan"},
    {"math.l2_normalize", "tf.math.l2_normalize", "", "axis epsilon"},
    {"math.less_equal", "ops.LessEqual", "y"},
    {"math.less", "ops.Less", "y"},
    {"math.lgamma", "ops.Lgamma"},
    {"math.log1p", "ops.Log1p"},
    {"math.log_sigmoid", "ops.LogSigmoid"},
    {"math.logical_and", "ops.LogicalAnd", "y"},
    {"math.logical_not", "ops.LogicalNot"},
    {"math.logical_or", "ops.LogicalOr", "y"},
    {"math.logical_xor", "ops.LogicalXor", "y"},
    {"math.log", "ops.Log"},
    {"math.maximum", "ops.Maximum", "y"},
    {"math.minimum", "ops.Minimum", "y"},
    {"math.mod", "ops.Mod", "y"},
    {"math.multiply", "ops.Multiply", "y"},
    {"math.negative", "ops.Negative"},
    {"math.not_equal", "ops.NotEqual", "y"},
    {"math.pow", "ops.Power", "y"},
    {"math.reciprocal", "ops.Reciprocal"},
    {"math.reduce_all", "ops.All", "", "axis keepdims"},
    {"math.reduce_any", "ops.Any", "", "axis keepdims"},
    {"math.reduce_euclidean_norm", "ops.Norm", "", "axis keepdims"},
    {"math.reduce_logsumexp", "ops.Logsumexp", "", "axis keepdims"},
    {"math.reduce_max", "ops.Max", "", "axis keepdims"},
    {"math.reduce_mean", "ops.Mean", "", "axis keepdims"},
    {"math.reduce_min", "ops.Min", "", "axis keepdims"},
    {"math.reduce_prod", "ops.Prod", "", "axis keepdims"},
    {"math.reduce_std", "ops.Std", "", "axis keepdims"},
    {"math.reduce_sum", "ops.Sum", "", "axis keepdims"},
    {"math.reduce_variance", "ops.Var", "", "axis keepdims"},
    {"math.round", "ops.Round"},
    {"math.rsqrt", "ops.Rsqrt"},
    {"math.sigmoid", "ops.Sigmoid"},
    {"math.sign", "ops.Sign"},
    {"math.sinh", "ops.Sinh"},
    {"math.sin", "ops.Sin"},
    {"math.softplus", "ops.Softplus"},
    {"math.sqrt", "ops.Sqrt"},
    {"math.squared_difference", "ops.SquaredDifference", "y"},
    {"math.square", "ops.Square"},
    {"math.subtract", "ops.Subtract", "y"},
    {"math.tanh", "ops.Tanh"},
    {"math.tan", "ops.Tan"},
    {"math.top_k", "ops.TopK", "k", "sorted"},
    {"math.truediv", "ops.TrueDivide", "y"},
    {"math.unsorted_segment_sum", "ops.SegmentSum", "segment_ids num_segments"},
    {"nn.avg_pool2d", "ops.AveragePool", "", "ksize=pool_size strides padding data_format"},
    {"nn.avg_pool", "ops.AveragePool", "", "ksize=pool_size strides padding data_format"},
    {"nn.batch_normalization", "ops.BatchNorm", "mean variance offset scale", "variance_epsilon=epsilon", "axis:-1"},
    {"nn.bias_add", "tf.nn.bias_add", "bias", "data_format"},
    {"nn.conv1d", "ops.Conv", "filters", "stride=strides padding data_format dilations=dilation_rate"},
    {"nn.conv2d", "ops.Conv", "filters", "strides padding data_format dilations=dilation_rate"},
    {"nn.depth_to_space", "ops.DepthToSpace", "", "block_size data_format"},
    {"nn.depthwise_conv2d", "ops.DepthwiseConv", "filter", "strides padding data_format dilations=dilation_rate"},
    {"nn.elu", "ops.Elu"},
    {"nn.gelu", "ops.Gelu", "", "approximate"},
    {"nn.l2_normalize", "tf.math.l2_normalize", "", "axis epsilon"},
    {"nn.leaky_relu", "ops.LeakyRelu", "", "alpha=negative_slope"},
    {"nn.log_softmax", "ops.LogSoftmax", "", "axis"},
    {"nn.max_pool2d", "ops.MaxPool", "", "ksize=pool_size strides padding data_format"},
    {"nn.max_pool", "ops.MaxPool", "", "ksize=pool_size strides padding data_format"},
    {"nn.relu6", "ops.Relu6"},
    {"nn.relu", "ops.Relu"},
    {"nn.selu", "ops.Selu"},
    {"nn.silu", "ops.Silu"},
    {"nn.softmax", "ops.Softmax", "", "axis"},
    {"nn.softsign", "ops.Softsign"},
    {"nn.space_to_depth", "ops.SpaceToDepth", "", "block_size data_format"},
    {"one_hot", "ops.OneHot", "depth", "axis dtype"},
    {"ones_like", "ops.OnesLike", "", "dtype"},
    {"ones", "tf.ones", "", "dtype"},
    {"pad", "ops.Pad", "paddings constant_values", "mode"},
    {"range", "tf.range", "limit delta", "dtype"},
    {"rank", "tf.rank"},
    {"repeat", "ops.Repeat", "repeats", "axis"},
    {"reshape", "ops.Reshape", "shape"},
    {"reverse", "ops.Flip", "axis"},
    {"roll", "ops.Roll", "shift", "axis"},
    {"sequence_mask", "tf.sequence_mask", "maxlen", "dtype"},
    {"shape", "tf.shape", "", "out_type"},
    {"size", "tf.size", "", "out_type"},
    {"slice", "ops.Slice", "begin size"},
    {"sort", "ops.Sort", "", "axis direction", "axis:-1"},
    {"split", "tf.split", "num_or_size_splits", "axis num"},
    {"squeeze", "ops.Squeeze", "", "axis"},
    {"stack", "ops.Stack", "", "axis"},
    {"stop_gradient", "ops.StopGradient"},
    {"tensor_scatter_nd_update", "ops.ScatterUpdate", "indices updates"},
    {"tensordot", "ops.Tensordot", "b", "axes"},
    {"tile", "ops.Tile", "multiples"},
    {"transpose", "ops.Transpose", "perm"},
    {"unstack", "ops.Unstack", "", "num axis"},
    {"where", "ops.Where", "x y"},
    {"zeros_like", "ops.ZerosLike", "", "dtype"},
    {"zeros", "tf.zeros", "", "dtype"},
};
// clang-format on

std::vector<std::string> words(const char* text) {
  std::istringstream in(text);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

const Row* find_row(const std::string& function) {
  static const std::map<std::string, const Row*> table = [] {
    std::map<std::string, const Row*> t;
    for (const Row& row : kRows) t[row.function] = &row;
    return t;
  }();
  auto it = table.find(function);
  return it == table.end() ? nullptr : it->second;
}

// {"start", "stop", "step"} and "Ellipsis" -> Keras 3's slice and ellipsis.
json slices(const json& spec) {
  if (spec.is_array()) {
    json out = json::array();
    for (const json& item : spec) out.push_back(slices(item));
    return out;
  }
  if (spec.is_object() && spec.contains("start")) return {{"class_name", "__slice__"}, {"config", spec}};
  if (spec == "Ellipsis") return {{"class_name", "__ellipsis__"}, {"config", json::object()}};
  return spec;
}

// Values that say no more than their absence.
bool is_idle(const std::string& key, const json& value) {
  return value.is_null() || key == "name" || value == json(false) || value == "" ||
         (key == "axis" && value == json(-1)) || (key == "use_cudnn_on_gpu" && value == json(true)) ||
         (key == "beta" && value == json(1.0));
}

// [1, 2, 2, 1] -> [2, 2] where the channels are last.
json spatial(const json& numbers, const std::string& data_format) {
  if (!numbers.is_array() || numbers.size() < 3) return numbers;
  const bool first = data_format.starts_with("NC");
  return json(std::vector<json>(numbers.begin() + (first ? 2 : 1), numbers.end() - (first ? 0 : 1)));
}

json entry_value(const std::string& entry, const json& value, const std::string& data_format) {
  if (entry == "data_format") return data_format.starts_with("NC") ? "channels_first" : "channels_last";
  if (entry == "pool_size" || entry == "strides" || entry == "dilation_rate" || entry == "size")
    return spatial(value, data_format);
  if (value.is_string()) {  // "<dtype: 'float32'>"
    const std::string text = value;
    if (text.starts_with("<dtype: '")) return text.substr(9, text.size() - 11);
  }
  return value;
}

// Moves a call's keyword arguments to where keras.ops has them; false: one of them has no place there.
bool respell(const Row& row, LayerCall& call, json& config) {
  for (const std::string& name : words(row.arguments)) {
    auto it = call.kwargs.find(name);
    if (it == call.kwargs.end()) {
      call.args.emplace_back().value = json();
      continue;
    }
    if (auto* data = std::get_if<json>(&it->second.value)) *data = slices(*data);
    call.args.push_back(std::move(it->second));
    call.kwargs.erase(it);
  }
  std::map<std::string, std::string> entries;
  for (const std::string& word : words(row.entries)) {
    const size_t equals = word.find('=');
    entries[word.substr(0, equals)] = equals == std::string::npos ? word : word.substr(equals + 1);
  }
  std::string data_format;
  if (auto it = call.kwargs.find("data_format"); it != call.kwargs.end())
    if (const auto* data = std::get_if<json>(&it->second.value); data && data->is_string()) data_format = *data;
  std::map<std::string, CallArg> tensors;
  for (auto& [key, arg] : call.kwargs) {
    const json* data = std::get_if<json>(&arg.value);
    auto entry = entries.find(key);
    if (entry == entries.end()) {
      if (!data || !is_idle(key, *data)) return false;
    } else if (!data) {
      tensors[entry->second] = std::move(arg);
    } else if (!data->is_null()) {
      config[entry->second] = entry_value(entry->second, *data, data_format);
    }
  }
  call.kwargs = std::move(tensors);
  for (const std::string& word : words(row.defaults)) {
    const size_t colon = word.find(':');
    if (const std::string key = word.substr(0, colon); !config.contains(key))
      config[key] = std::stoll(word.substr(colon + 1));
  }
  return true;
}

}  // namespace

void respell_operation(SourceLayer& layer) {
  if ((layer.class_name != "TFOpLambda" && layer.class_name != "SlicingOpLambda") || layer.calls.size() != 1) return;
  const json function = layer.config.value("function", json());
  if (!function.is_string()) return;
  const Row* row = find_row(function.get<std::string>());
  if (!row) return;
  LayerCall call = layer.calls[0];
  json config = {{"name", layer.name}, {"trainable", true}};
  if (!respell(*row, call, config)) return;
  layer.class_name = row->layer;
  layer.config = std::move(config);
  layer.calls[0] = std::move(call);
}

}  // namespace midstream::keras
