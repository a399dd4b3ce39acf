// keras.ops that read and write by index: x[...], take, scatter, one_hot.
#include <fmt/format.h>

#include <algorithm>

#include "lower/keras/host.h"
#include "lower/keras/operation_args.h"
#include "lower/keras/operations.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// x[...]: NumPy's basic indexing, from front to back; `axis` is where in the result we are.
class Indexing {
 public:
  Indexing(Layer& l, Value v) : l_(l), v_(v) {}

  Value apply(const json& key) {
    const json items = key.is_array() ? key : json::array({key});
    int64_t consumed = 0;
    for (const json& item : items)
      if (!item.is_null() && !is(item, "__ellipsis__")) ++consumed;
    const int64_t left_out = l_.b.rank(v_) - consumed;
    for (const json& item : items) {
      if (is(item, "__ellipsis__"))
        axis_ += left_out;
      else
        one(item);
    }
    return v_;
  }

 private:
  static bool is(const json& item, const char* name) {
    return item.is_object() && item.contains("class_name") && item.at("class_name") == name;
  }

  void one(const json& item) {
    Builder& b = l_.b;
    if (item.is_null()) {
      v_ = b.unsqueeze(v_, axis_++);
    } else if (item.is_number_integer()) {
      v_ = b.select(v_, axis_, item.get<int64_t>());
    } else if (is(item, "__slice__")) {
      slice(item.at("config"));
      ++axis_;
    } else {
      b.fail(ErrorKind::Unsupported, fmt::format("indexing with {} has no lowering.", item.dump()));
    }
  }

  void slice(const json& s) {
    Builder& b = l_.b;
    const json start = s.value("start", json()), stop = s.value("stop", json()), step = s.value("step", json());
    if (start.is_null() && stop.is_null() && step.is_null()) return;
    const int64_t by = step.is_null() ? 1 : step.get<int64_t>();
    if (by == -1 && start.is_null() && stop.is_null()) {
      v_ = b.flip(v_, {axis_});
      return;
    }
    if (by < 1) b.fail(ErrorKind::Unsupported, "a slice with a negative step and bounds has no lowering.");
    v_ = b.slice(v_, axis_, start.is_null() ? Int(0) : Int(start.get<int64_t>()),
                 stop.is_null() ? b.size(v_, axis_) : Int(stop.get<int64_t>()), by);
  }

  Layer& l_;
  Value v_;
  int64_t axis_ = 0;
};

// tf.shape(x)[1], tf.shape(x)[:-1]
std::optional<Tensors> index_sizes(Layer& l, Value x, const json& key) {
  const std::vector<Int>* sizes = l.host().sizes_of(x);
  const json& item = key.is_array() && key.size() == 1 ? key[0] : key;
  if (!sizes || l.b.rank(x) != 1) return std::nullopt;
  const auto n = static_cast<int64_t>(sizes->size());
  if (item.is_number_integer()) {
    const auto i = item.get<int64_t>();
    return one(size_tensor(l, {sizes->at(static_cast<size_t>(i < 0 ? i + n : i))}, 0));
  }
  if (!item.is_object() || item.value("class_name", "") != "__slice__") return std::nullopt;
  const json& s = item.at("config");
  if (!s.value("step", json()).is_null() && s.at("step") != 1) return std::nullopt;
  const auto bound = [&](const char* name, int64_t otherwise) {
    const json v = s.value(name, json());
    const int64_t i = v.is_null() ? otherwise : v.get<int64_t>();
    return std::clamp<int64_t>(i < 0 ? i + n : i, 0, n);
  };
  const int64_t first = bound("start", 0), last = std::max(first, bound("stop", n));
  return one(size_tensor(l, Ints(sizes->begin() + first, sizes->begin() + last), 1));
}

Tensors get_item(Layer& l, const Call& call) {
  for (const char* key : {"1", "key"})
    if (call.options.contains(key)) {
      if (auto sizes = index_sizes(l, call.one().value, call.options.at(key))) return *sizes;
      return one(Indexing(l, call.one().value).apply(call.options.at(key)));
    }
  l.b.fail(ErrorKind::Unsupported, "indexing with tensors has no lowering.");
}

// --- by index

Value long_indices(Builder& b, Value indices) { return b.cast(indices, DType::Int64); }

// Negative indices count from the end, as in Keras 3.
Value from_the_end(Builder& b, Value indices, const Int& size, const Literal* known) {
  if (known) {
    bool negative = false;
    const json flat = json(known->value).flatten();
    for (const json& i : flat) negative |= i.is_number() && i.get<double>() < 0;
    if (!negative && known->value.is_array()) return indices;
    if (known->value.is_number() && known->value.get<double>() >= 0) return indices;
  }
  Value n = b.cast(b.tensor_of(size), b.dtype(indices));
  return b.where(b.compare("lt", indices, 0.0), b.add(indices, n), indices);
}

// Rows of the axis: x[..., indices, ...].
Value pick(Builder& b, Value x, Value indices, int64_t axis) {
  Ints shape = b.sizes(x), of_indices = b.sizes(indices);
  Value flat = b.rank(indices) == 1 ? indices : b.reshape(indices, {Int(-1)});
  Value rows = b.call("aten::index_select", {{"self", x}, {"dim", axis}, {"index", flat}});
  if (of_indices.empty()) return b.squeeze(rows, axis);
  if (of_indices.size() == 1) return rows;
  auto at = shape.erase(shape.begin() + axis);
  shape.insert(at, of_indices.begin(), of_indices.end());
  return b.reshape(rows, shape);
}

Tensors take(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "x");
  if (!l.has("axis")) x = b.reshape(x, {Int(-1)});
  const int64_t axis = l.has("axis") ? math::axis_of(b, x, l.integer("axis")) : 0;
  const json* data = data_of(call, 1, "indices");
  const auto known = data ? literal_of(*data) : std::nullopt;
  Value indices = long_indices(b, operand(l, call, 1, "indices"));
  return one(pick(b, x, from_the_end(b, indices, b.size(x, axis), known ? &*known : nullptr), axis));
}

Tensors take_along_axis(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "x"), indices = long_indices(b, operand(l, call, 1, "indices"));
  if (!l.has("axis")) {
    x = b.reshape(x, {Int(-1)});
    indices = b.reshape(indices, {Int(-1)});
  }
  const int64_t axis = l.has("axis") ? math::axis_of(b, x, l.integer("axis")) : 0;
  indices = from_the_end(b, indices, b.size(x, axis), nullptr);
  Ints x_shape = b.sizes(x), i_shape = b.sizes(indices);
  const auto is_one = [](const Int& i) { return i.is_constant() && i.constant() == 1; };
  bool expand_x = false, expand_indices = false;
  for (size_t i = 0; i < x_shape.size(); ++i) {
    if (static_cast<int64_t>(i) == axis) continue;
    if (is_one(x_shape[i]) && !is_one(i_shape[i])) x_shape[i] = i_shape[i], expand_x = true;
    if (is_one(i_shape[i]) && !is_one(x_shape[i])) i_shape[i] = x_shape[i], expand_indices = true;
  }
  if (expand_x) x = b.expand(x, x_shape);
  if (expand_indices) indices = b.expand(indices, i_shape);
  return one(b.call("aten::gather", {{"self", x}, {"dim", axis}, {"index", indices}}));
}

Int product(const Ints& sizes, size_t first, size_t last) {
  Int n = 1;
  for (size_t i = first; i < last; ++i) n = n * sizes[i];
  return n;
}

// tf.gather. The first `batch_dims` axes of both go together: [B, outer, n, inner] by [B, m].
Tensors gather(Layer& l, const Call& call) {
  l.expect_config({"axis", "batch_dims"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "params"), indices = long_indices(b, operand(l, call, 1, "indices"));
  const int64_t batch = l.integer("batch_dims") < 0 ? l.integer("batch_dims") + b.rank(indices) : l.integer("batch_dims");
  const int64_t axis = math::axis_of(b, x, l.integer("axis", batch));
  if (batch == 0) return one(pick(b, x, indices, axis));
  const size_t k = static_cast<size_t>(batch), a = static_cast<size_t>(axis);
  const Ints xs = b.sizes(x), is = b.sizes(indices);
  const Int all = product(xs, 0, k), outer = product(xs, k, a), inner = product(xs, a + 1, xs.size());
  const Int m = product(is, k, is.size());
  Value x4 = b.reshape(x, {all, outer, xs[a], inner});
  Value i4 = b.expand(b.reshape(indices, {all, Int(1), m, Int(1)}), {all, outer, m, inner});
  Ints shape(xs.begin(), xs.begin() + axis);
  shape.insert(shape.end(), is.begin() + batch, is.end());
  shape.insert(shape.end(), xs.begin() + axis + 1, xs.end());
  return one(b.reshape(b.call("aten::gather", {{"self", x4}, {"dim", 2}, {"index", i4}}), shape));
}

// The last axis of `indices` [..., k] taken apart: one int64 tensor per indexed axis.
Values columns(Builder& b, Value indices) {
  const int64_t last = b.rank(indices) - 1, k = b.dims(indices).back();
  if (k == kUnknown) b.fail(ErrorKind::Unsupported, "its indices have an unknown number of coordinates.");
  Values out;
  for (int64_t i = 0; i < k; ++i) out.push_back(long_indices(b, b.select(indices, last, i)));
  return out;
}

Tensors gather_nd(Layer& l, const Call& call) {
  l.expect_config({"batch_dims"});
  if (l.integer("batch_dims") != 0) l.b.fail(ErrorKind::Unsupported, "gather_nd in batches has no lowering.");
  Value x = operand(l, call, 0, "params"), indices = operand(l, call, 1, "indices");
  return one(l.b.call("aten::index.Tensor", {{"self", x}, {"indices", columns(l.b, indices)}}));
}

Value put(Builder& b, Value x, Value indices, Value updates, bool accumulate) {
  Args args{{"self", x}, {"indices", columns(b, indices)}, {"values", updates}};
  if (accumulate) args.push_back({"accumulate", true});
  return b.call("aten::index_put", std::move(args));
}

Tensors scatter(Layer& l, const Call& call) {
  l.expect_config({"shape"});
  Builder& b = l.b;
  Value indices = operand(l, call, 0, "indices"), values = operand(l, call, 1, "values");
  const Value zeros = b.full(int_list(l, call, 2, "shape"), 0, b.dtype(values));
  return one(put(b, zeros, indices, values, true));
}

Tensors scatter_update(Layer& l, const Call& call) {
  l.expect_config({"reduction"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "inputs"), indices = operand(l, call, 1, "indices");
  Value updates = b.cast(operand(l, call, 2, "updates", b.dtype(x)), b.dtype(x));
  const std::string reduction = l.text("reduction");
  if (!reduction.empty() && reduction != "add")
    b.fail(ErrorKind::Unsupported, fmt::format("a scatter that reduces by '{}' has no lowering.", reduction));
  return one(put(b, x, indices, updates, reduction == "add"));
}

// A size of -1: to the end of the axis.
Tensors slice(Layer& l, const Call& call) {
  l.expect_config({"shape"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "inputs");
  const Ints start = int_list(l, call, 1, "start_indices"), shape = int_list(l, call, 2, "shape");
  for (size_t i = 0; i < start.size(); ++i) {
    const auto axis = static_cast<int64_t>(i);
    const bool rest = shape.at(i).is_constant() && shape[i].constant() == -1;
    const bool from_zero = start[i].is_constant() && start[i].constant() == 0;
    if (rest && from_zero) continue;
    x = b.slice(x, axis, start[i], rest ? b.size(x, axis) : start[i] + shape[i]);
  }
  return one(x);
}

Tensors slice_update(Layer& l, const Call& call) {
  l.expect_config({});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "inputs");
  const Ints start = int_list(l, call, 1, "start_indices");
  Value part = b.cast(operand(l, call, 2, "updates", b.dtype(x)), b.dtype(x));
  // The rows around the part, axis by axis from the last: what is outside of it stays x.
  const Ints sizes = b.sizes(part);
  Value inside = x;
  std::vector<Value> levels{x};
  for (size_t i = 0; i + 1 < start.size(); ++i)
    levels.push_back(inside = b.slice(inside, static_cast<int64_t>(i), start[i], start[i] + sizes[i]));
  for (size_t i = start.size(); i-- > 0;) {
    const auto axis = static_cast<int64_t>(i);
    part = b.call("aten::slice_scatter",
                  {{"self", levels[i]}, {"src", part}, {"dim", axis}, {"start", start[i]}, {"end", start[i] + sizes[i]}});
  }
  return one(part);
}

// --- classes and segments

Value one_hot_of(Builder& b, Value indices, const Int& classes, int64_t axis) {
  const int64_t rank = b.rank(indices);
  if (axis < 0) axis += rank + 1;
  Value all = b.call("aten::arange", {{"end", classes}, {"dtype", b.dtype(indices)}});
  return b.compare("eq", b.unsqueeze(indices, axis), math::along_axis(b, all, axis, rank + 1));
}

Tensors one_hot(Layer& l, const Call& call) {
  l.expect_config({"num_classes", "axis", "dtype", "sparse"});
  Builder& b = l.b;
  if (l.flag("sparse")) b.fail(ErrorKind::Unsupported, "a sparse one_hot has no lowering.");
  const Int classes = int_list(l, call, 1, "num_classes").at(0);
  const DType dtype = parse_dtype(l.text("dtype", "float32")).value_or(DType::Float32);
  return one(b.cast(one_hot_of(b, operand(l, call, 0, "x"), classes, l.integer("axis", -1)), dtype));
}

// Which classes are among those of each row.
Tensors multi_hot(Layer& l, const Call& call) {
  l.expect_config({"num_classes", "axis", "dtype", "sparse"});
  Builder& b = l.b;
  if (l.flag("sparse")) b.fail(ErrorKind::Unsupported, "a sparse multi_hot has no lowering.");
  const Value x = call.one().value;
  Value hot = one_hot_of(b, x, Int(l.integer("num_classes")), l.integer("axis", -1));
  const DType dtype = parse_dtype(l.text("dtype", "float32")).value_or(DType::Float32);
  return one(b.cast(b.call("aten::any.dim", {{"self", hot}, {"dim", b.rank(x) > 1 ? 1 : 0}}), dtype));
}

// Rows with the same id are added up. Negative ids are dropped: they go to one row more, which is cut off.
Tensors segment_sum(Layer& l, const Call& call) {
  l.expect_config({"num_segments", "sorted"});
  Builder& b = l.b;
  Value data = operand(l, call, 0, "data"), ids = long_indices(b, operand(l, call, 1, "segment_ids"));
  const Ints given = int_list(l, call, 2, "num_segments");
  if (given.empty())
    b.fail(ErrorKind::Unsupported, "segments without num_segments, whose number only the data tell, have no lowering.",
           "Give num_segments in Keras and save the model again.");
  const Ints sizes = b.sizes(data);
  Ints shape{given[0] + 1};
  shape.insert(shape.end(), sizes.begin() + b.rank(ids), sizes.end());
  Value last = b.cast(b.tensor_of(given[0]), b.dtype(ids));
  Value row = b.where(b.compare("lt", ids, 0.0), last, ids);
  Value sum = put(b, b.full(shape, 0, b.dtype(data)), b.unsqueeze(row, b.rank(ids)), data, true);
  return one(b.slice(sum, 0, 0, given[0]));
}

// Whether the target's score is among the k highest; scores that tie with it do not count against it.
Tensors in_top_k(Layer& l, const Call& call) {
  l.expect_config({"k"});
  Builder& b = l.b;
  Value target = b.unsqueeze(long_indices(b, operand(l, call, 0, "targets")), -1);
  Value scores = operand(l, call, 1, "predictions");
  Value own = b.call("aten::gather", {{"self", scores}, {"dim", 1}, {"index", target}});
  Value higher = b.sum(b.cast(b.compare("gt", scores, own), DType::Int64), {1});
  Value finite = b.unary("aten::isfinite", b.squeeze(own, 1));
  return one(b.logical_and(b.compare("lt", higher, static_cast<double>(l.integer("k"))), finite));
}

Tensors search_sorted(Layer& l, const Call& call) {
  l.expect_config({"side"});
  Pair p = operands(l, call, "sorted_sequence", "values");
  Args args{{"sorted_sequence", p.x}, {"self", p.y}, {"out_int32", true}};
  if (l.text("side", "left") == "right") args.push_back({"right", true});
  return one(l.b.call("aten::searchsorted.Tensor", std::move(args)));
}

Tensors digitize(Layer& l, const Call& call) {
  l.expect_config({});
  Pair p = operands(l, call, "x", "bins");
  return one(l.b.call("aten::bucketize.Tensor",
                      {{"self", p.x}, {"boundaries", p.y}, {"out_int32", true}, {"right", true}}));
}

// tf.boolean_mask with a mask that the file holds.
Tensors boolean_mask(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  Builder& b = l.b;
  const Value x = operand(l, call, 0, "tensor");
  const json* mask = data_of(call, 1, "mask");
  const auto literal = mask ? literal_of(*mask) : std::nullopt;
  if (!literal || !literal->value.is_array() || (!literal->value.empty() && literal->value[0].is_array()))
    b.fail(ErrorKind::Unsupported, "boolean_mask by other than a list in the file has no lowering.");
  std::vector<int64_t> rows;
  for (size_t i = 0; i < literal->value.size(); ++i)
    if (literal->value[i] == true) rows.push_back(static_cast<int64_t>(i));
  const auto n = static_cast<int64_t>(rows.size());
  return one(pick(b, x, b.constant(Array::of(DType::Int64, {n}, std::move(rows))), math::axis_of(b, x, l.integer("axis"))));
}

// tf.sequence_mask(lengths, maxlen)
Tensors sequence_mask(Layer& l, const Call& call) {
  l.expect_config({"maxlen", "dtype"});
  Builder& b = l.b;
  const Value lengths = operand(l, call, 0, "lengths");
  const Ints longest = int_list(l, call, 1, "maxlen");
  if (longest.empty()) b.fail(ErrorKind::Unsupported, "sequence_mask without maxlen has no lowering.");
  Value steps = b.call("aten::arange", {{"end", longest[0]}, {"dtype", b.dtype(lengths)}});
  Value mask = b.compare("lt", steps, b.unsqueeze(lengths, b.rank(lengths)));
  return one(b.cast(mask, parse_dtype(l.text("dtype", "bool")).value_or(DType::Bool)));
}

}  // namespace

void register_operations_index(Registry& r) {
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  add("Digitize", digitize);
  add("GetItem", get_item);
  add("InTopK", in_top_k);
  add("MultiHot", multi_hot);
  add("OneHot", one_hot);
  add("Scatter", scatter);
  add("ScatterUpdate", scatter_update);
  add("SearchSorted", search_sorted);
  add("SegmentSum", segment_sum);
  add("Slice", slice);
  add("SliceUpdate", slice_update);
  add("Take", take);
  add("TakeAlongAxis", take_along_axis);
  auto add_tf = [&r](const char* name, LayerFn fn) { register_tensorflow_operation(r, name, std::move(fn)); };
  add_tf("boolean_mask", boolean_mask);
  add_tf("gather", gather);
  add_tf("gather_nd", gather_nd);
  add_tf("sequence_mask", sequence_mask);
}

}  // namespace midstream::keras
