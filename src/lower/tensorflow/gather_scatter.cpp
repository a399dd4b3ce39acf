// Reading and writing by index.
#include <algorithm>

#include "lower/math/layout.h"
#include "lower/math/linear.h"
#include "lower/registry.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

Value flat(Builder& b, Value indices) {
  if (b.rank(indices) == 1) return indices;
  return b.reshape(indices, {Int(-1)});
}

// Rows of the axis: x[..., indices, ...].
Value take(Builder& b, Value x, Value indices, int64_t axis) {
  Ints shape = b.sizes(x), of_indices = b.sizes(indices);
  Value rows = b.call("aten::index_select", {{"self", x}, {"dim", axis}, {"index", flat(b, indices)}});
  if (of_indices.size() == 1) return rows;
  auto at = shape.erase(shape.begin() + axis);
  shape.insert(at, of_indices.begin(), of_indices.end());
  return b.reshape(rows, shape);
}

Int product(const Ints& sizes, size_t first, size_t last) {
  Int n = 1;
  for (size_t i = first; i < last; ++i) n = n * sizes[i];
  return n;
}

// The first `batch` axes of x and indices go together: [B, outer, n, inner] by [B, m].
Value take_batched(Builder& b, Value x, Value indices, int64_t axis, int64_t batch) {
  const size_t k = static_cast<size_t>(batch), a = static_cast<size_t>(axis);
  Ints xs = b.sizes(x), is = b.sizes(indices);
  const Int all = product(xs, 0, k), outer = product(xs, k, a), inner = product(xs, a + 1, xs.size());
  const Int m = product(is, k, is.size());
  Value x4 = b.reshape(x, {all, outer, xs[a], inner});
  Value i4 = b.reshape(b.cast(indices, DType::Int64), {all, Int(1), m, Int(1)});
  Value y = b.call("aten::gather", {{"self", x4}, {"dim", 2}, {"index", b.expand(i4, {all, outer, m, inner})}});
  Ints shape(xs.begin(), xs.begin() + axis);
  shape.insert(shape.end(), is.begin() + batch, is.end());
  shape.insert(shape.end(), xs.begin() + axis + 1, xs.end());
  return b.reshape(y, shape);
}

// The gradient of a variable that is gathered from is one row per occurrence (IndexedSlices), which the optimizers
// want: docs/differences.md. Everything else gets a dense gradient.
bool is_table(Builder& b, Value x) {
  const ValueInfo& info = b.graph().info(x);
  return info.leaf == LeafKind::Variable && b.rank(x) == 2 && is_floating(b.dtype(x)) &&
         b.graph().variables->at(static_cast<size_t>(info.index)).stored_as.empty();
}

Value gather(Builder& b, Value x, Value indices, int64_t axis, int64_t batch) {
  if (batch > 0) return take_batched(b, x, indices, axis, batch);
  if (axis == 0 && is_table(b, x)) {
    b.stored(b.graph().variables->at(static_cast<size_t>(b.graph().info(x).index)).name);  // stays a leaf
    return math::embedding(b, x, indices, false);
  }
  if (b.rank(indices) == 0)
    return b.squeeze(b.call("aten::index_select", {{"self", x}, {"dim", axis}, {"index", b.unsqueeze(indices, 0)}}),
                     axis);
  return take(b, x, indices, axis);
}

void gather_v2(Op& op) {  // params, indices, axis
  op.expect_attrs({"batch_dims", "validate_indices"});
  const int64_t rank = op.rank(0);
  int64_t axis = op.size() > 2 ? known_int(op, 2) : 0, batch = op.integer("batch_dims", 0);
  if (batch < 0) batch += op.rank(1);
  if (axis < 0) axis += rank;
  if (op.is_host(0) && op.is_host(1) && op.is_constant(1) && batch == 0) {
    HostInts x = op.host(0), i = op.host(1), out{{}, i.rank, x.dtype};
    for (const Int& at : i.values) out.values.push_back(x.values.at(static_cast<size_t>(at.constant())));
    return op.output(out);
  }
  op.output(gather(op.b, op.input(0), op.input(1), axis, batch));
}

void resource_gather(Op& op) {
  op.expect_attrs({"batch_dims", "validate_indices"});
  op.output(gather(op.b, op.read_variable(op.variable(0)), op.input(1), op.integer("batch_dims", 0),
                   op.integer("batch_dims", 0)));
}

// The last axis of `indices` [..., k] taken apart: one int64 tensor per indexed axis.
Values columns(Builder& b, Value indices) {
  const int64_t last = b.rank(indices) - 1, k = b.dims(indices).back();
  if (k == kUnknown) b.fail(ErrorKind::Unsupported, "its indices have an unknown number of coordinates.");
  Values out;
  for (int64_t i = 0; i < k; ++i) out.push_back(b.cast(b.select(indices, last, i), DType::Int64));
  return out;
}

void gather_nd(Op& op) {
  op.expect_attrs({"bad_indices_policy"});
  Value x = op.node.op == "ResourceGatherNd" ? op.read_variable(op.variable(0)) : op.input(0);
  op.output(op.b.call("aten::index.Tensor", {{"self", x}, {"indices", columns(op.b, op.input(1))}}));
}

Value put(Builder& b, Value x, Value indices, Value updates, bool accumulate) {
  Args args{{"self", x}, {"indices", columns(b, indices)}, {"values", updates}};
  if (accumulate) args.push_back({"accumulate", true});
  return b.call("aten::index_put", std::move(args));
}

void scatter_nd(Op& op) {  // indices, updates, shape
  op.expect_attrs({"bad_indices_policy"});
  Value updates = op.input(1);
  Value zeros = op.b.full(op.ints(2), 0, op.b.dtype(updates));
  op.output(put(op.b, zeros, op.input(0), updates, true));
}

OpFn tensor_scatter(bool accumulate, bool negate) {
  return [accumulate, negate](Op& op) {
    op.expect_attrs({"bad_indices_policy"});
    Value updates = op.input(2);
    op.output(put(op.b, op.input(0), op.input(1), negate ? op.b.neg(updates) : updates, accumulate));
  };
}

// Into a variable: by rows (ScatterUpdate, ResourceScatterAdd) or by coordinates (the ...Nd ops).
OpFn variable_scatter(bool accumulate, bool negate, bool nd) {
  return [accumulate, negate, nd](Op& op) {
    op.expect_attrs({"use_locking", "bad_indices_policy"});
    const std::string name = op.variable(0);
    Value indices = op.input(1), updates = op.input(2);
    if (!nd) indices = op.b.unsqueeze(indices, op.b.rank(indices));
    op.assign_variable(name,
                       put(op.b, op.read_variable(name), indices, negate ? op.b.neg(updates) : updates, accumulate));
    op.output(op.operand(0));
  };
}

void one_hot(Op& op) {  // indices, depth, on_value, off_value
  op.expect_attrs({"axis"});
  Builder& b = op.b;
  Value indices = op.input(0);
  const int64_t rank = b.rank(indices);
  int64_t axis = op.integer("axis", -1);
  if (axis < 0) axis += rank + 1;
  Value classes = b.call("aten::arange", {{"end", op.int_value(1)}, {"dtype", b.dtype(indices)}});
  Value hit = b.compare("eq", b.unsqueeze(indices, axis), math::along_axis(b, classes, axis, rank + 1));
  op.output(b.where(hit, op.input(2), op.input(3)));
}

void where_op(Op& op) {  // the coordinates of what is true
  op.expect_attrs({});
  op.output(op.b.call("aten::nonzero", {{"self", op.input(0)}}));
}

void invert_permutation(Op& op) {
  op.expect_attrs({});
  if (op.is_constant(0)) {
    std::vector<int64_t> perm = known_ints(op, 0);
    HostInts out{Ints(perm.size(), Int(0)), 1, op.input_dtype(0)};
    for (size_t i = 0; i < perm.size(); ++i) out.values.at(static_cast<size_t>(perm[i])) = static_cast<int64_t>(i);
    return op.output(out);
  }
  Value x = op.input(0);
  op.output(op.b.cast(op.b.call("aten::argsort", {{"self", x}}), op.b.dtype(x)));
}

// Row indices[n][i] of the result is data[n][i]; what comes later wins.
void dynamic_stitch(Op& op) {
  op.expect_attrs({});
  const size_t n = op.size() / 2;
  std::vector<int64_t> from;  // result row -> position in the concatenated data
  bool host = true;
  int64_t at = 0;
  for (size_t i = 0; i < n; ++i) {
    host = host && op.is_host(n + i);
    for (int64_t row : known_ints(op, i)) {
      if (row >= static_cast<int64_t>(from.size())) from.resize(static_cast<size_t>(row) + 1, -1);
      from[static_cast<size_t>(row)] = at++;
    }
  }
  if (std::find(from.begin(), from.end(), -1) != from.end())
    op.fail(ErrorKind::Unsupported, "leaves rows of its result undefined.");
  if (host) {
    Ints all;
    for (size_t i = 0; i < n; ++i)
      for (const Int& v : op.host(n + i).values) all.push_back(v);
    HostInts out{{}, 1, op.host(n).dtype};
    for (int64_t f : from) out.values.push_back(all.at(static_cast<size_t>(f)));
    return op.output(out);
  }
  Values rows;
  for (size_t i = 0; i < n; ++i) {
    Value data = op.input(n + i);
    const int64_t axes = op.rank(i);
    Ints sizes = op.b.sizes(data), shape{Int(-1)};
    shape.insert(shape.end(), sizes.begin() + axes, sizes.end());
    rows.push_back(axes == 1 ? data : axes == 0 ? op.b.unsqueeze(data, 0) : op.b.reshape(data, shape));
  }
  Value order = op.b.constant(Array::of(DType::Int64, {static_cast<int64_t>(from.size())}, from));
  op.output(op.b.call("aten::index_select", {{"self", op.b.concat(rows, 0)}, {"dim", 0}, {"index", order}}));
}

// Rows with the same id are added up; `n` segments.
void unsorted_segment_sum(Op& op) {
  op.expect_attrs({});
  Builder& b = op.b;
  Value data = op.input(0), ids = op.input(1);
  Ints shape = b.sizes(data), out{op.int_value(2)};
  out.insert(out.end(), shape.begin() + b.rank(ids), shape.end());
  // Negative ids are dropped: they go to one row more, which is cut off.
  Value last = b.cast(b.tensor_of(out[0]), b.dtype(ids));
  Value row = b.where(b.compare("lt", ids, 0.0), last, ids);
  Ints wider = out;
  wider[0] = out[0] + 1;
  Value sum = put(b, b.full(wider, 0, b.dtype(data)), b.unsqueeze(row, b.rank(ids)), data, true);
  op.output(b.slice(sum, 0, 0, out[0]));
}

}  // namespace

void register_gather_scatter(Registry& r) {
  r.tf("Gather", gather_v2);
  r.tf("GatherV2", gather_v2);
  r.tf("GatherNd", gather_nd);
  r.tf("ResourceGather", resource_gather);
  r.tf("ResourceGatherNd", gather_nd);
  r.tf("ScatterNd", scatter_nd);
  r.tf("TensorScatterUpdate", tensor_scatter(false, false));
  r.tf("TensorScatterAdd", tensor_scatter(true, false));
  r.tf("TensorScatterSub", tensor_scatter(true, true));
  for (const char* kind : {"", "Resource"}) {
    const std::string prefix = kind;
    r.tf(prefix + "ScatterUpdate", variable_scatter(false, false, false));
    r.tf(prefix + "ScatterAdd", variable_scatter(true, false, false));
    r.tf(prefix + "ScatterSub", variable_scatter(true, true, false));
    r.tf(prefix + "ScatterNdUpdate", variable_scatter(false, false, true));
    r.tf(prefix + "ScatterNdAdd", variable_scatter(true, false, true));
    r.tf(prefix + "ScatterNdSub", variable_scatter(true, true, true));
  }
  r.tf("OneHot", one_hot);
  r.tf("Where", where_op);
  r.tf("InvertPermutation", invert_permutation);
  r.tf("DynamicStitch", dynamic_stitch);
  r.tf("ParallelDynamicStitch", dynamic_stitch);
  r.tf("UnsortedSegmentSum", unsorted_segment_sum);
}

}  // namespace midstream::tensorflow
