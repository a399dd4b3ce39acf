// keras.ops of linear algebra: products, diagonals and triangles, systems of equations.
#include <fmt/format.h>

#include <algorithm>

#include "lower/keras/host.h"
#include "lower/keras/operation_args.h"
#include "lower/keras/operations.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// tf.linalg.matmul turns its matrices.
Tensors matmul(Layer& l, const Call& call) {
  l.expect_config({"transpose_a", "transpose_b"});
  Pair p = operands(l, call, "x1", "x2");
  const auto turned = [&](Value v) { return l.b.call("aten::transpose.int", {{"self", v}, {"dim0", -2}, {"dim1", -1}}); };
  if (l.flag("transpose_a")) p.x = turned(p.x);
  if (l.flag("transpose_b")) p.y = turned(p.y);
  return one(l.b.matmul(p.x, p.y));
}

Tensors einsum(Layer& l, const Call& call) {
  l.expect_config({"subscripts"});
  Values operands;
  std::optional<DType> dtype;
  for (size_t i = 0; is_given(call, i, ""); ++i) {
    operands.push_back(operand(l, call, i, ""));
    dtype = dtype ? promoted(*dtype, l.b.dtype(operands.back())) : l.b.dtype(operands.back());
  }
  for (Value& v : operands) v = l.b.cast(v, *dtype);
  return one(l.b.call("aten::einsum", {{"equation", l.text("subscripts")}, {"tensors", operands}}));
}

Value tensordot(Builder& b, const Pair& p, const std::vector<int64_t>& of_x, const std::vector<int64_t>& of_y) {
  return b.call("aten::tensordot", {{"self", p.x}, {"other", p.y}, {"dims_self", Dims(of_x)}, {"dims_other", Dims(of_y)}});
}

// A number: so many axes at the end of the first and at the start of the second.
Tensors tensordot(Layer& l, const Call& call) {
  l.expect_config({"axes"});
  Builder& b = l.b;
  const Pair p = operands(l, call, "x1", "x2");
  std::vector<int64_t> of_x, of_y;
  const json axes = l.has("axes") ? l.config.at("axes") : json(2);
  if (axes.is_number_integer()) {
    const int64_t n = axes.get<int64_t>();
    for (int64_t i = 0; i < n; ++i) {
      of_x.push_back(b.rank(p.x) - n + i);
      of_y.push_back(i);
    }
  } else {
    const auto list = [](const json& v) {
      return v.is_array() ? v.get<std::vector<int64_t>>() : std::vector<int64_t>{v.get<int64_t>()};
    };
    of_x = list(axes.at(0));
    of_y = list(axes.at(1));
  }
  return one(tensordot(b, p, of_x, of_y));
}

Tensors dot(Layer& l, const Call& call) {
  l.expect_config({});
  Builder& b = l.b;
  const Pair p = operands(l, call, "x1", "x2");
  if (b.rank(p.x) == 0 || b.rank(p.y) == 0) return one(b.mul(p.x, p.y));
  return one(tensordot(b, p, {-1}, {b.rank(p.y) == 1 ? -1 : -2}));
}

Tensors inner(Layer& l, const Call& call) {
  l.expect_config({});
  const Pair p = operands(l, call, "x1", "x2");
  if (l.b.rank(p.x) == 0 || l.b.rank(p.y) == 0) return one(l.b.mul(p.x, p.y));
  return one(tensordot(l.b, p, {-1}, {-1}));
}

Tensors vdot(Layer& l, const Call& call) {
  l.expect_config({});
  const Pair p = operands(l, call, "x1", "x2");
  return one(l.b.sum(l.b.mul(l.b.reshape(p.x, {Int(-1)}), l.b.reshape(p.y, {Int(-1)})), {}));
}

Tensors outer(Layer& l, const Call& call) {
  l.expect_config({});
  const Pair p = operands(l, call, "x1", "x2");
  return one(l.b.mul(l.b.reshape(p.x, {Int(-1), Int(1)}), l.b.reshape(p.y, {Int(-1)})));
}

Tensors cross(Layer& l, const Call& call) {
  l.expect_config({"axisa", "axisb", "axisc", "axis"});
  const Pair p = operands(l, call, "x1", "x2");
  const auto last = [&](const char* entry, Value v) {
    return l.integer(entry, -1) == -1 || l.integer(entry, -1) == l.b.rank(v) - 1;
  };
  const bool plain = l.has("axis") ? last("axis", p.x) : last("axisa", p.x) && last("axisb", p.y) && last("axisc", p.x);
  if (!plain || l.b.dims(p.x).back() != 3 || l.b.dims(p.y).back() != 3)
    l.b.fail(ErrorKind::Unsupported, "a cross product of other than three numbers along the last axis has no lowering.");
  return one(l.b.call("aten::linalg_cross", {{"self", p.x}, {"other", p.y}, {"dim", -1}}));
}

Tensors diagonal(Layer& l, const Call& call) {
  l.expect_config({"offset", "axis1", "axis2"});
  return one(l.b.call("aten::diagonal", {{"self", call.one().value},
                                         {"offset", l.integer("offset")},
                                         {"dim1", l.integer("axis1", 0)},
                                         {"dim2", l.integer("axis2", 1)}}));
}

Tensors trace(Layer& l, const Call& call) { return one(l.b.sum(diagonal(l, call)[0].value, {-1})); }

Tensors diag(Layer& l, const Call& call) {
  l.expect_config({"k"});
  const Value x = call.one().value;
  if (l.b.rank(x) == 1) return one(l.b.call("aten::diag_embed", {{"self", x}, {"offset", l.integer("k")}}));
  return one(l.b.call("aten::diagonal", {{"self", x}, {"offset", l.integer("k")}}));
}

LayerFn triangle(const char* op) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"k"});
    return one(l.b.call(op, {{"self", call.one().value}, {"diagonal", l.integer("k")}}));
  };
}

// tf.linalg.band_part
Tensors band_part(Layer& l, const Call& call) {
  l.expect_config({"num_lower", "num_upper"});
  Value x = call.one().value;
  const int64_t lower = l.integer("num_lower"), upper = l.integer("num_upper");
  if (upper >= 0) x = l.b.call("aten::tril", {{"self", x}, {"diagonal", upper}});
  if (lower >= 0) x = l.b.call("aten::triu", {{"self", x}, {"diagonal", -lower}});
  return one(x);
}

// --- systems and decompositions

LayerFn matrix(const char* op, const char* argument) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({});
    return one(l.b.call(op, {{argument, call.one().value}}));
  };
}

Value turned(Builder& b, Value v) { return b.call("aten::transpose.int", {{"self", v}, {"dim0", -2}, {"dim1", -1}}); }

Tensors cholesky(Layer& l, const Call& call) {
  l.expect_config({"upper"});
  Value lower = l.b.call("aten::linalg_cholesky", {{"self", call.one().value}});
  return one(l.flag("upper") ? turned(l.b, lower) : lower);
}

// b may be a vector, or a stack of matrices.
Tensors solve(Layer& l, const Call& call) {
  l.expect_config({"adjoint"});
  Builder& b = l.b;
  Pair p = operands(l, call, "a", "b");
  if (l.flag("adjoint")) p.x = turned(b, p.x);
  const bool vector = b.rank(p.y) == b.rank(p.x) - 1;
  Value y = b.call("aten::linalg_solve", {{"A", p.x}, {"B", vector ? b.unsqueeze(p.y, -1) : p.y}});
  return one(vector ? b.squeeze(y, -1) : y);
}

Tensors solve_triangular(Layer& l, const Call& call) {
  l.expect_config({"lower"});
  Builder& b = l.b;
  Pair p = operands(l, call, "a", "b");
  const bool lower = l.flag("lower");
  p.x = b.call(lower ? "aten::tril" : "aten::triu", {{"self", p.x}});
  const bool vector = b.rank(p.y) == b.rank(p.x) - 1;
  Value y = b.call("aten::linalg_solve_triangular",
                   {{"self", p.x}, {"B", vector ? b.unsqueeze(p.y, -1) : p.y}, {"upper", !lower}});
  return one(vector ? b.squeeze(y, -1) : y);
}

// tf.linalg.logdet and ops.logdet: by the Cholesky factor, so of positive definite matrices.
Tensors log_determinant(Layer& l, const Call& call) {
  l.expect_config({});
  Builder& b = l.b;
  Value lower = b.call("aten::linalg_cholesky", {{"self", call.one().value}});
  Value on_diagonal = b.call("aten::diagonal", {{"self", lower}, {"dim1", -2}, {"dim2", -1}});
  return one(b.mul(b.sum(b.log(on_diagonal), {-1}), 2.0));
}

}  // namespace

void register_operations_linalg(Registry& r) {
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  add("Cholesky", cholesky);
  add("Cross", cross);
  add("Det", matrix("aten::linalg_det", "A"));
  add("Diag", diag);
  add("Diagonal", diagonal);
  add("Dot", dot);
  add("Einsum", einsum);
  add("Inner", inner);
  add("Inv", matrix("aten::linalg_inv", "A"));
  add("Logdet", log_determinant);
  add("Matmul", matmul);
  add("Outer", outer);
  add("Solve", solve);
  add("SolveTriangular", solve_triangular);
  add("Tensordot", static_cast<Tensors (*)(Layer&, const Call&)>(tensordot));
  add("Trace", trace);
  add("Tril", triangle("aten::tril"));
  add("Triu", triangle("aten::triu"));
  add("Vdot", vdot);
  auto add_tf = [&r](const char* name, LayerFn fn) { register_tensorflow_operation(r, name, std::move(fn)); };
  add_tf("linalg.band_part", band_part);
}

}  // namespace midstream::keras
