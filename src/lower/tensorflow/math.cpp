// Products of matrices, and what is made of matrices.
#include <numeric>

#include "lower/math/layout.h"
#include "lower/math/linear.h"
#include "lower/registry.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

Value transposed(Builder& b, Value x) {
  std::vector<int64_t> perm(static_cast<size_t>(b.rank(x)));
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm.end()[-1], perm.end()[-2]);
  return b.permute(x, perm);
}

bool is_weight(Builder& b, Value v) {
  return b.graph().info(v).leaf == LeafKind::Variable && b.rank(v) == 2 && is_floating(b.dtype(v));
}

void mat_mul(Op& op) {
  op.expect_attrs({"transpose_a", "transpose_b", "grad_a", "grad_b", "a_is_sparse", "b_is_sparse"});
  Value x = op.input(0), y = op.input(1);
  if (op.flag("transpose_a")) x = transposed(op.b, x);
  // A weight times a batch prints as a linear layer.
  if (!op.flag("transpose_b") && is_weight(op.b, y) && !is_weight(op.b, x))
    return op.output(math::linear(op.b, x, y, {}));
  if (op.flag("transpose_b")) y = transposed(op.b, y);
  op.output(op.b.matmul(x, y));
}

void batch_mat_mul(Op& op) {
  op.expect_attrs({"adj_x", "adj_y", "grad_x", "grad_y"});
  auto adjoint = [&](Value v) {
    const bool complex = op.b.dtype(v) == DType::Complex64 || op.b.dtype(v) == DType::Complex128;
    v = transposed(op.b, v);
    return complex ? op.b.unary("aten::conj_physical", v) : v;
  };
  Value x = op.input(0), y = op.input(1);
  if (op.flag("adj_x")) x = adjoint(x);
  if (op.flag("adj_y")) y = adjoint(y);
  op.output(op.b.matmul(x, y));
}

void einsum(Op& op) {
  op.expect_attrs({"equation"});
  op.output(op.b.call("aten::einsum", {{"equation", op.text("equation")}, {"tensors", op.inputs()}}));
}

void cross(Op& op) {
  op.expect_attrs({});
  op.output(op.b.call("aten::linalg_cross", {{"self", op.input(0)}, {"other", op.input(1)}, {"dim", -1}}));
}

// Inside the band: (num_lower < 0 or i - j <= num_lower) and (num_upper < 0 or j - i <= num_upper).
void matrix_band_part(Op& op) {
  op.expect_attrs({});
  Value x = op.input(0);
  const int64_t lower = known_int(op, 1), upper = known_int(op, 2);
  if (upper >= 0) x = op.b.call("aten::tril", {{"self", x}, {"diagonal", upper}});
  if (lower >= 0) x = op.b.call("aten::triu", {{"self", x}, {"diagonal", -lower}});
  op.output(x);
}

void matrix_diag(Op& op) {
  op.expect_attrs({});
  op.output(op.b.call("aten::diag_embed", {{"self", op.input(0)}}));
}

void matrix_diag_part(Op& op) {
  op.expect_attrs({});
  op.output(op.b.call("aten::diagonal", {{"self", op.input(0)}, {"dim1", -2}, {"dim2", -1}}));
}

// Version 3 of these says which diagonals; the main one is known here.
void main_diagonal_only(Op& op, size_t k_at) {
  for (int64_t k : known_ints(op, k_at))
    if (k != 0)
      op.fail(ErrorKind::Unsupported, "takes diagonal " + std::to_string(k) + "; only the main one has a lowering.");
}

void matrix_diag_v3(Op& op) {  // diagonal, k, num_rows, num_cols, padding_value
  op.expect_attrs({"align"});
  main_diagonal_only(op, 1);
  if (known_int(op, 2) != -1 || known_int(op, 3) != -1)
    op.fail(ErrorKind::Unsupported, "gives the matrix a size of its own; only square ones have a lowering.");
  op.output(op.b.call("aten::diag_embed", {{"self", op.input(0)}}));
}

void matrix_diag_part_v3(Op& op) {
  op.expect_attrs({"align"});
  main_diagonal_only(op, 1);
  op.output(op.b.call("aten::diagonal", {{"self", op.input(0)}, {"dim1", -2}, {"dim2", -1}}));
}

void matrix_set_diag(Op& op) {
  op.expect_attrs({"align"});
  if (op.size() > 2) main_diagonal_only(op, 2);
  Value x = op.input(0);
  op.output(op.b.call("aten::diagonal_scatter",
                      {{"self", x}, {"src", op.input(1)}, {"dim1", op.b.rank(x) - 2}, {"dim2", op.b.rank(x) - 1}}));
}

OpFn matrix(const char* name, const char* argument) {
  return [name, argument](Op& op) {
    op.expect_attrs({});
    op.output(op.b.call(name, {{argument, op.input(0)}}));
  };
}

void matrix_inverse(Op& op) {
  op.expect_attrs({"adjoint"});
  Value x = op.input(0);
  op.output(op.b.call("aten::linalg_inv", {{"A", op.flag("adjoint") ? transposed(op.b, x) : x}}));
}

void matrix_solve(Op& op) {
  op.expect_attrs({"adjoint"});
  Value x = op.input(0);
  op.output(op.b.call("aten::linalg_solve", {{"A", op.flag("adjoint") ? transposed(op.b, x) : x}, {"B", op.input(1)}}));
}

void matrix_triangular_solve(Op& op) {
  op.expect_attrs({"lower", "adjoint"});
  Value x = op.input(0);
  bool lower = op.flag("lower", true);
  x = op.b.call(lower ? "aten::tril" : "aten::triu", {{"self", x}});
  if (op.flag("adjoint")) {
    x = transposed(op.b, x);
    lower = !lower;
  }
  op.output(op.b.call("aten::linalg_solve_triangular", {{"self", x}, {"B", op.input(1)}, {"upper", !lower}}));
}

}  // namespace

void register_math(Registry& r) {
  r.tf("MatMul", mat_mul);
  for (const char* name : {"BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"}) r.tf(name, batch_mat_mul);
  r.tf("Einsum", einsum);
  r.tf("Cross", cross);
  r.tf("MatrixBandPart", matrix_band_part);
  r.tf("MatrixDiag", matrix_diag);
  r.tf("MatrixDiagPart", matrix_diag_part);
  r.tf("MatrixDiagV3", matrix_diag_v3);
  r.tf("MatrixDiagPartV3", matrix_diag_part_v3);
  for (const char* name : {"MatrixSetDiag", "MatrixSetDiagV2", "MatrixSetDiagV3"}) r.tf(name, matrix_set_diag);
  r.tf("MatrixDeterminant", matrix("aten::linalg_det", "A"));
  r.tf("Cholesky", matrix("aten::linalg_cholesky", "self"));
  r.tf("MatrixInverse", matrix_inverse);
  r.tf("MatrixSolve", matrix_solve);
  r.tf("MatrixTriangularSolve", matrix_triangular_solve);
}

}  // namespace midstream::tensorflow
