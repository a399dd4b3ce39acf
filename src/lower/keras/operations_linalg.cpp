// keras.ops of linear algebra: products, diagonals and triangles, systems of equations.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

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

Tensors cholesky_inverse(Layer& l, const Call& call) {
  l.expect_config({"upper"});
  Builder& b = l.b;
  const Value x = call.one().value;
  const bool upper = l.flag("upper");
  Value unit = b.call("aten::eye", {{"n", b.size(x, b.rank(x) - 1)}, {"dtype", b.dtype(x)}});
  Value factor = b.call(upper ? "aten::triu" : "aten::tril", {{"self", x}});
  Value inverse = b.call("aten::linalg_solve_triangular", {{"self", factor}, {"B", unit}, {"upper", upper}});
  return one(upper ? b.matmul(inverse, turned(b, inverse)) : b.matmul(turned(b, inverse), inverse));
}

Tensors both(const Values& v) {
  Tensors out;
  for (Value one_of_them : v) out.push_back({one_of_them, {}});
  return out;
}

Tensors qr(Layer& l, const Call& call) {
  l.expect_config({"mode"});
  return both(l.b.call_all("aten::linalg_qr", {{"A", call.one().value}, {"mode", l.text("mode", "reduced")}}));
}

Tensors svd(Layer& l, const Call& call) {
  l.expect_config({"full_matrices", "compute_uv"});
  const Value x = call.one().value;
  if (!l.flag("compute_uv", true)) return one(l.b.call("aten::linalg_svdvals", {{"A", x}}));
  return both(l.b.call_all("aten::linalg_svd", {{"A", x}, {"full_matrices", l.flag("full_matrices", true)}}));
}

Tensors eigh(Layer& l, const Call& call) {
  l.expect_config({});
  return both(l.b.call_all("aten::linalg_eigh", {{"self", call.one().value}}));
}

Tensors slogdet(Layer& l, const Call& call) {
  l.expect_config({});
  return both(l.b.call_all("aten::linalg_slogdet", {{"A", call.one().value}}));
}

// L and U in one matrix, and where each row of it came from.
Tensors lu_factor(Layer& l, const Call& call) {
  l.expect_config({});
  Builder& b = l.b;
  const Value x = call.one().value;
  if (b.rank(x) != 2 || b.dims(x)[0] != b.dims(x)[1] || b.dims(x)[0] == kUnknown)
    b.fail(ErrorKind::Unsupported, "lu_factor of other than one square matrix has no lowering.");
  const Values plu = b.call_all("aten::linalg_lu", {{"A", x}});
  Value unit = b.call("aten::eye", {{"n", b.size(x, 0)}, {"dtype", b.dtype(x)}});
  Value rows = b.call("aten::argmax", {{"self", plu.at(0)}, {"dim", 1}});
  return {{b.sub(b.add(plu.at(1), plu.at(2)), unit), {}}, {b.cast(rows, DType::Int32), {}}};
}

double precision(Builder& b, Value x) {
  return b.dtype(x) == DType::Float64 ? std::numeric_limits<double>::epsilon()
                                      : static_cast<double>(std::numeric_limits<float>::epsilon());
}

double longest_side(Builder& b, Value x) {
  const Dims d = b.dims(x);
  const int64_t m = d.at(d.size() - 2), n = d.back();
  if (m == kUnknown || n == kUnknown)
    b.fail(ErrorKind::Unsupported, "its threshold depends on the size of the matrices, which is unknown.");
  return static_cast<double>(std::max(m, n));
}

Tensors matrix_rank(Layer& l, const Call& call) {
  l.expect_config({"tol"});
  Builder& b = l.b;
  const Value x = call.one().value;
  Value s = b.call("aten::linalg_svdvals", {{"A", x}}), above;
  if (l.has("tol"))
    above = b.compare("gt", s, l.number("tol"));
  else
    above = b.compare("gt", s, b.mul(b.amax(s, {-1}, true), precision(b, x) * longest_side(b, x)));
  return one(b.sum(b.cast(above, DType::Int32), {-1}));
}

// 1 / s, and 0 where it is not `kept`.
Value inverse_of(Builder& b, Value s, Value kept) {
  Value safe = b.where(kept, s, b.constant(1, b.dtype(s)));
  return b.where(kept, b.div(b.ones_like(s), safe), b.constant(0, b.dtype(s)));
}

Tensors pinv(Layer& l, const Call& call) {
  l.expect_config({"rcond"});
  Builder& b = l.b;
  const Value x = call.one().value;
  const double share = l.has("rcond") ? l.number("rcond") : 10 * longest_side(b, x) * precision(b, x);
  const Values usv = b.call_all("aten::linalg_svd", {{"A", x}, {"full_matrices", false}});
  Value s = usv.at(1), kept = b.compare("gt", s, b.mul(b.amax(s, {-1}, true), share));
  Value scaled = b.mul(turned(b, usv.at(2)), b.unsqueeze(inverse_of(b, s, kept), b.rank(s) - 1));
  return one(b.matmul(scaled, turned(b, usv.at(0))));
}

Tensors lstsq(Layer& l, const Call& call) {
  l.expect_config({"rcond"});
  Builder& b = l.b;
  const Pair p = operands(l, call, "a", "b");
  const bool vector = b.rank(p.y) == 1;
  Value y = vector ? b.unsqueeze(p.y, 1) : p.y;
  if (b.rank(p.x) != 2 || b.rank(y) != 2) b.fail(ErrorKind::Mismatch, "lstsq is of one matrix, as in Keras.");
  double share = precision(b, p.x);
  if (!l.has("rcond"))
    share *= longest_side(b, p.x);
  else if (l.number("rcond") >= 0)
    share = l.number("rcond");
  const Values usv = b.call_all("aten::linalg_svd", {{"A", p.x}, {"full_matrices", false}});
  Value s = usv.at(1), kept = b.compare("ge", s, b.mul(b.select(s, 0, 0), share));
  Value part = b.mul(b.unsqueeze(inverse_of(b, s, kept), 1), b.matmul(turned(b, usv.at(0)), y));
  Value out = b.matmul(turned(b, usv.at(2)), part);
  return one(vector ? b.reshape(out, {Int(-1)}) : out);
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
  add("CholeskyInverse", cholesky_inverse);
  add("Cross", cross);
  add("Det", matrix("aten::linalg_det", "A"));
  add("Diag", diag);
  add("Diagonal", diagonal);
  add("Dot", dot);
  add("Eigh", eigh);
  add("Einsum", einsum);
  add("Inner", inner);
  add("Inv", matrix("aten::linalg_inv", "A"));
  add("Logdet", log_determinant);
  add("Lstsq", lstsq);
  add("LuFactor", lu_factor);
  add("Matmul", matmul);
  add("MatrixRank", matrix_rank);
  add("Outer", outer);
  add("Pinv", pinv);
  add("Qr", qr);
  add("SVD", svd);
  add("Slogdet", slogdet);
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
