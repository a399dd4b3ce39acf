// Shapes: asking for them and changing them. What is asked stays a host integer as long as nobody wants a tensor.
#include <algorithm>

#include "lower/registry.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

// The sizes of an input in whatever form, without making a tensor of it.
Ints sizes_of(Op& op, size_t i) {
  if (op.operand(i).ints() || op.operand(i).constant()) {
    Dims dims;
    if (const Array* a = op.operand(i).constant())
      dims = a->shape();
    else if (op.operand(i).ints()->rank == 1)
      dims = {static_cast<int64_t>(op.operand(i).ints()->values.size())};
    return Ints(dims.begin(), dims.end());
  }
  if (const VariableHandle* v = op.operand(i).variable()) {
    const Dims& dims = op.b.graph().variables->find(v->name)->source_dims;
    return Ints(dims.begin(), dims.end());
  }
  return op.b.sizes(op.input(i));
}

DType out_type(Op& op, const char* attr = "out_type") { return op.has(attr) ? op.dtype(attr) : DType::Int32; }

void shape(Op& op) {
  op.expect_attrs({});
  for (size_t i = 0; i < op.size(); ++i) op.output(HostInts{sizes_of(op, i), 1, out_type(op)});
}

void size(Op& op) {
  op.expect_attrs({});
  Int n = 1;
  for (const Int& s : sizes_of(op, 0)) n = n * s;
  op.output(HostInts{{n}, 0, out_type(op)});
}

void rank(Op& op) {
  op.expect_attrs({});
  op.output(HostInts{{Int(static_cast<int64_t>(sizes_of(op, 0).size()))}, 0, DType::Int32});
}

// A -1 whose size follows from the others is worked out here, so that shapes stay known.
Ints complete(Op& op, Ints wanted) {
  Ints have = sizes_of(op, 0);
  Int known = 1;
  size_t unknown = wanted.size();
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].is_constant() && wanted[i].constant() == -1)
      unknown = i;
    else
      known = known * wanted[i];
  }
  if (unknown == wanted.size()) return wanted;
  Int all = 1;
  for (const Int& s : have) all = all * s;
  const bool constant = all.is_constant() && known.is_constant();
  if (constant && known.constant() != 0) wanted[unknown] = all.constant() / known.constant();
  return wanted;
}

void reshape(Op& op) {
  op.expect_attrs({});
  Ints wanted = op.ints(1);
  if (op.is_host(0) && wanted.size() <= 1) {
    HostInts h = op.host(0);
    h.rank = static_cast<int>(wanted.size());
    return op.output(h);
  }
  if (const Array* a = op.operand(0).constant()) {
    wanted = complete(op, wanted);
    Dims dims;
    for (const Int& i : wanted)
      if (i.is_constant()) dims.push_back(i.constant());
    if (dims.size() == wanted.size() && a->dtype() != DType::String) return op.output(a->reshaped(dims));
  }
  op.output(op.b.reshape(op.input(0), complete(op, wanted)));
}

void expand_dims(Op& op) {
  op.expect_attrs({});
  const int64_t axis = known_int(op, 1), rank = op.rank(0);
  if (op.is_host(0) && rank == 0) {
    HostInts h = op.host(0);
    h.rank = 1;
    return op.output(h);
  }
  op.output(op.b.unsqueeze(op.input(0), axis < 0 ? axis + rank + 1 : axis));
}

void squeeze(Op& op) {
  op.expect_attrs({"squeeze_dims"});
  std::vector<int64_t> axes = op.int_list("squeeze_dims");
  if (op.is_host(0)) {
    HostInts h = op.host(0);
    if (h.rank == 0 || h.values.size() == 1) {
      h.rank = 0;
      return op.output(h);
    }
    if (axes.empty()) return op.output(h);
  }
  Value x = op.input(0);
  const int64_t rank = op.b.rank(x);
  for (int64_t& a : axes) a = a < 0 ? a + rank : a;
  if (axes.empty())
    for (int64_t i = 0; i < rank; ++i)
      if (op.b.dims(x)[static_cast<size_t>(i)] == 1) axes.push_back(i);
  std::sort(axes.rbegin(), axes.rend());
  for (int64_t a : axes) {
    // Of an axis whose size is unknown TensorFlow knows here that it is 1.
    const bool unknown = op.b.dims(x).at(static_cast<size_t>(a)) == kUnknown;
    x = unknown ? op.b.select(x, a, 0) : op.b.squeeze(x, a);
  }
  op.output(x);
}

void transpose(Op& op) {
  op.expect_attrs({});
  std::vector<int64_t> perm = known_ints(op, 1);
  Value x = op.input(0);
  if (op.node.op == "ConjugateTranspose") x = op.b.unary("aten::conj_physical", x);
  for (int64_t& p : perm) p = p < 0 ? p + static_cast<int64_t>(perm.size()) : p;
  op.output(op.b.permute(x, perm));
}

void broadcast_to(Op& op) {
  op.expect_attrs({});
  op.output(op.b.expand(op.input(0), op.ints(1)));
}

void broadcast_args(Op& op) {
  op.expect_attrs({});
  Ints x = op.ints(0), y = op.ints(1);
  if (x.size() < y.size()) std::swap(x, y);
  const size_t offset = x.size() - y.size();
  for (size_t i = 0; i < y.size(); ++i) {
    Int &a = x[offset + i], &c = y[i];
    const bool is_one = a.is_constant() && a.constant() == 1, other_is_one = c.is_constant() && c.constant() == 1;
    if (is_one)
      a = c;
    else if (!other_is_one)
      a = max(a, c);
  }
  op.output(HostInts{x, 1, op.input_dtype(0)});
}

void tile(Op& op) {
  op.expect_attrs({});
  Ints times = op.ints(1);
  const bool nothing =
      std::all_of(times.begin(), times.end(), [](const Int& t) { return t.is_constant() && t.constant() == 1; });
  if (nothing) return op.output(op.operand(0));
  op.output(op.b.call("aten::repeat", {{"self", op.input(0)}, {"repeats", times}}));
}

void ensure_shape(Op& op) {  // what the source knows about a shape: PyTorch checks where it matters
  op.expect_attrs({"shape"});
  op.output(op.operand(0));
}

void fill(Op& op) {
  op.expect_attrs({});
  Ints shape = op.ints(0);
  const bool numbers = shape.size() == 1 && shape[0].is_constant() && shape[0].constant() <= 16 && op.is_host(1);
  if (numbers)
    return op.output(
        HostInts{Ints(static_cast<size_t>(shape[0].constant()), op.host(1).values.at(0)), 1, op.host(1).dtype});
  const bool known = op.is_constant(1) && op.input_dtype(1) != DType::Int64 && op.input_dtype(1) != DType::String &&
                     op.input_dtype(1) != DType::Complex64 && op.input_dtype(1) != DType::Complex128;
  if (known) return op.output(op.b.full(shape, op.constant(1).to_double().at(0), op.input_dtype(1)));
  op.output(op.b.expand(op.input(1), shape));
}

void empty(Op& op) {
  op.expect_attrs({"init"});
  op.output(op.b.full(op.ints(0), 0, op.dtype("dtype")));
}

void range(Op& op) {
  op.expect_attrs({});
  const DType dtype = op.input_dtype(0);
  if (is_floating(dtype)) {
    auto number = [&](size_t i) { return op.constant(i).to_double().at(0); };
    return op.output(op.b.call("aten::arange.start_step",
                               {{"start", number(0)}, {"end", number(1)}, {"step", number(2)}, {"dtype", dtype}}));
  }
  Int start = op.int_value(0), end = op.int_value(1), step = op.int_value(2);
  if (start.is_constant() && end.is_constant() && step.is_constant() && step.constant() != 0) {
    const int64_t s = step.constant(), first = start.constant(), last = end.constant();
    const int64_t count = std::max<int64_t>(0, s > 0 ? (last - first + s - 1) / s : (first - last - s - 1) / -s);
    if (count <= 64) {
      Ints values;
      for (int64_t i = 0; i < count; ++i) values.emplace_back(first + i * s);
      return op.output(HostInts{values, 1, dtype});
    }
  }
  op.output(op.b.call("aten::arange.start_step", {{"start", start}, {"end", end}, {"step", step}, {"dtype", dtype}}));
}

// start + i * delta in the tensor's own type, and exactly stop at the end.
template <class T>
Array lin_space_array(DType dtype, const Array& start, const Array& stop, int64_t n) {
  const T first = static_cast<T>(start.to_double().at(0)), last = static_cast<T>(stop.to_double().at(0));
  std::vector<T> values{first};
  const T delta = n > 1 ? (last - first) / static_cast<T>(n - 1) : T(0);
  for (int64_t i = 1; i < n; ++i) values.push_back(i + 1 == n ? last : first + delta * static_cast<T>(i));
  return Array::of(dtype, {n}, std::move(values));
}

void lin_space(Op& op) {
  op.expect_attrs({});
  const int64_t n = known_int(op, 2);
  const DType dtype = op.input_dtype(0);
  // TensorFlow rounds every step to the dtype.
  if (dtype != DType::Float64 && dtype != DType::Float32)
    op.b.fail(ErrorKind::Unsupported, "LinSpace of " + std::string(to_string(dtype)) + " has no lowering.");
  op.output(dtype == DType::Float64 ? lin_space_array<double>(dtype, op.constant(0), op.constant(1), n)
                                    : lin_space_array<float>(dtype, op.constant(0), op.constant(1), n));
}

OpFn like(Value (Builder::*make)(Value), int64_t number) {
  return [make, number](Op& op) {
    op.expect_attrs({});
    if (op.is_host(0)) {
      HostInts h = op.host(0);
      for (Int& i : h.values) i = number;
      return op.output(h);
    }
    const Value* v = op.operand(0).value();
    if (v && op.b.type(*v).kind == Kind::List) {  // of a tensor list: as long, of zeros
      Value zeros = op.b.zeros_like(op.b.call("midstream::list_stack", {{"l", *v}}));
      return op.output(op.b.call("midstream::list_from_tensor", {{"x", zeros}}));
    }
    op.output((op.b.*make)(op.input(0)));
  };
}

}  // namespace

void register_shape(Registry& r) {
  r.tf("Shape", shape);
  r.tf("ShapeN", shape);
  r.tf("VariableShape", shape);
  r.tf("Size", size);
  r.tf("Rank", rank);
  r.tf("Reshape", reshape);
  r.tf("ExpandDims", expand_dims);
  r.tf("Squeeze", squeeze);
  r.tf("Transpose", transpose);
  r.tf("ConjugateTranspose", transpose);
  r.tf("BroadcastTo", broadcast_to);
  r.tf("BroadcastArgs", broadcast_args);
  r.tf("Tile", tile);
  r.tf("EnsureShape", ensure_shape);
  r.tf("Fill", fill);
  r.tf("Empty", empty);
  r.tf("Range", range);
  r.tf("LinSpace", lin_space);
  r.tf("OnesLike", like(&Builder::ones_like, 1));
  r.tf("ZerosLike", like(&Builder::zeros_like, 0));
}

}  // namespace midstream::tensorflow
