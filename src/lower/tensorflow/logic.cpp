// Comparisons, logic, selection, and conversions between number types.
#include "lower/registry.h"
#include "lower/tensorflow/driver.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

OpFn compare(const char* how) {
  return [how](Op& op) {
    op.expect_attrs({"incompatible_shape_error"});
    if (auto folded = fold_compare(op, how)) return op.output(*folded);
    op.output(op.b.compare(how, op.input(0), op.input(1)));
  };
}

void approximate_equal(Op& op) {
  op.expect_attrs({"tolerance"});
  Value distance = op.b.abs(op.b.sub(op.input(0), op.input(1)));
  op.output(op.b.compare("lt", distance, op.number("tolerance", 1e-5F)));
}

OpFn logical(const char* host, const char* tensor) {
  return [host, tensor](Op& op) {
    op.expect_attrs({});
    if (is_host_bool(op, 0) && is_host_bool(op, 1)) {
      const bool is_and = std::string(host) == "midstream::bool_and";
      for (size_t i : {size_t{0}, size_t{1}}) {  // a constant decides or disappears
        const Array* known = op.operand(i).constant();
        if (!known) continue;
        const bool value = known->to_int64().at(0) != 0;
        return op.output(value == is_and ? op.operand(1 - i) : op.operand(i));
      }
      return op.output(op.b.call(host, {{"a", host_bool(op, 0)}, {"b", host_bool(op, 1)}}));
    }
    op.output(op.b.call(tensor, {{"self", op.input(0)}, {"other", op.input(1)}}));
  };
}

void logical_not(Op& op) {
  op.expect_attrs({});
  const Operand& x = op.operand(0);
  if (x.value() && is_host_bool(op, 0)) return op.output(op.b.call("midstream::bool_not", {{"a", *x.value()}}));
  if (x.constant() && is_host_bool(op, 0))
    return op.output(Array::of(DType::Bool, {}, std::vector<uint8_t>{x.constant()->to_int64().at(0) == 0}));
  op.output(op.b.logical_not(op.input(0)));
}

// Select: the condition has the shape of the branches, is a scalar, or a vector along their first axis.
void select(Op& op) {
  op.expect_attrs({});
  if (auto folded = fold_select(op)) return op.output(*folded);
  const bool scalars =
      is_host_bool(op, 0) && op.is_host(1) && op.is_host(2) && op.host(1).rank == 0 && op.host(2).rank == 0;
  if (scalars) {
    Operands chosen = op.driver().cond(
        host_bool(op, 0), [&] { return Operands{op.operand(1)}; }, [&] { return Operands{op.operand(2)}; });
    return op.output(chosen.at(0));
  }
  if (const Array* known = op.operand(0).constant(); known && known->shape().empty() && op.node.op == "Select")
    return op.output(op.operand(known->to_int64().at(0) ? 1 : 2));
  Value condition = op.input(0), x = op.input(1);
  if (op.node.op == "Select" && op.b.rank(condition) == 1 && op.b.rank(x) > 1) {
    Ints shape(static_cast<size_t>(op.b.rank(x)), Int(1));
    shape[0] = op.b.size(condition, 0);
    condition = op.b.reshape(condition, shape);
  }
  op.output(op.b.where(condition, x, op.input(2)));
}

// Known numbers are converted now; PyTorch and C++ both cut fractions off, as TensorFlow does.
std::optional<Operand> cast_constant(const Array& a, DType to) {
  const bool number = a.dtype() != DType::String && a.dtype() != DType::Complex64 && a.dtype() != DType::Complex128;
  if (!number || a.size() > 64) return std::nullopt;
  if (to == DType::Int32 && !is_floating(a.dtype())) {
    auto v = a.to_int64();
    return Array::of(to, a.shape(), std::vector<int32_t>(v.begin(), v.end()));
  }
  if (to == DType::Int32) {
    auto v = a.to_double();
    return Array::of(to, a.shape(), std::vector<int32_t>(v.begin(), v.end()));
  }
  if (to == DType::Int64) return Array::of(to, a.shape(), a.to_int64());
  if (to == DType::Float64) return Array::of(to, a.shape(), a.to_double());
  if (to == DType::Float32 && a.dtype() != DType::Int64) {
    auto v = a.to_double();
    return Array::of(to, a.shape(), std::vector<float>(v.begin(), v.end()));
  }
  return std::nullopt;
}

void cast(Op& op) {
  op.expect_attrs({"Truncate"});
  const DType to = op.dtype("DstT");
  if (op.input_dtype(0) == to && !op.operand(0).variable()) return op.output(op.operand(0));
  if (op.is_host(0) && (to == DType::Int32 || to == DType::Int64)) {
    HostInts h = op.host(0);
    h.dtype = to;
    return op.output(h);
  }
  if (const Array* known = op.operand(0).constant())
    if (auto folded = cast_constant(*known, to)) return op.output(*folded);
  op.output(op.b.cast(op.input(0), to));
}

void bitcast(Op& op) {
  op.expect_attrs({});
  Value x = op.input(0);
  const DType to = op.dtype("type");
  const size_t from_size = item_size(op.b.dtype(x)), to_size = item_size(to);
  if (from_size < to_size) {  // the last axis goes into the element
    x = op.b.call("aten::view.dtype", {{"self", x}, {"dtype", to}});
    return op.output(op.b.squeeze(x, -1));
  }
  if (from_size > to_size) x = op.b.unsqueeze(x, -1);
  op.output(op.b.call("aten::view.dtype", {{"self", x}, {"dtype", to}}));
}

}  // namespace

void register_logic(Registry& r) {
  r.tf("Equal", compare("eq"));
  r.tf("NotEqual", compare("ne"));
  r.tf("Less", compare("lt"));
  r.tf("LessEqual", compare("le"));
  r.tf("Greater", compare("gt"));
  r.tf("GreaterEqual", compare("ge"));
  r.tf("ApproximateEqual", approximate_equal);
  r.tf("LogicalAnd", logical("midstream::bool_and", "aten::logical_and"));
  r.tf("LogicalOr", logical("midstream::bool_or", "aten::logical_or"));
  r.tf("LogicalNot", logical_not);
  r.tf("Select", select);
  r.tf("SelectV2", select);
  r.tf("Cast", cast);
  r.tf("Bitcast", bitcast);
}

}  // namespace midstream::tensorflow
