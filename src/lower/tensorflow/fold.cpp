#include "lower/tensorflow/fold.h"

#include <algorithm>

namespace midstream::tensorflow {

std::optional<HostInts> fold_binary(Op& op, const std::function<Int(const Int&, const Int&)>& f) {
  if (!op.is_host(0) || !op.is_host(1)) return std::nullopt;
  HostInts x = op.host(0), y = op.host(1), out;
  const size_t n = std::max(x.values.size(), y.values.size());
  const bool fits = (x.values.size() == n || x.values.size() == 1) && (y.values.size() == n || y.values.size() == 1);
  if (!fits) return std::nullopt;
  for (size_t i = 0; i < n; ++i)
    out.values.push_back(f(x.values[x.values.size() == 1 ? 0 : i], y.values[y.values.size() == 1 ? 0 : i]));
  out.rank = std::max(x.rank, y.rank);
  out.dtype = x.dtype;
  return out;
}

static bool decide(const std::string& how, int64_t a, int64_t b) {
  if (how == "eq") return a == b;
  if (how == "ne") return a != b;
  if (how == "lt") return a < b;
  if (how == "le") return a <= b;
  return how == "gt" ? a > b : a >= b;
}

static bool all_constant(const HostInts& h) {
  return std::all_of(h.values.begin(), h.values.end(), [](const Int& i) { return i.is_constant(); });
}

std::optional<Operand> fold_compare(Op& op, const std::string& how) {
  if (!op.is_host(0) || !op.is_host(1)) return std::nullopt;
  const HostInts x = op.host(0), y = op.host(1);
  const size_t n = std::max(x.values.size(), y.values.size());
  const bool fits = (x.values.size() == n || x.values.size() == 1) && (y.values.size() == n || y.values.size() == 1);
  if (fits && all_constant(x) && all_constant(y)) {
    std::vector<uint8_t> answers;
    for (size_t i = 0; i < n; ++i)
      answers.push_back(decide(how, x.values[x.values.size() == 1 ? 0 : i].constant(),
                               y.values[y.values.size() == 1 ? 0 : i].constant()));
    const Dims shape = std::max(x.rank, y.rank) == 0 ? Dims{} : Dims{static_cast<int64_t>(n)};
    return Operand(Array::of(DType::Bool, shape, std::move(answers)));
  }
  if (x.rank != 0 || y.rank != 0) return std::nullopt;
  return Operand(op.b.call("midstream::int_" + how, {{"a", x.values.at(0)}, {"b", y.values.at(0)}}));
}

std::optional<HostInts> fold_select(Op& op) {
  const Array* condition = op.operand(0).constant();
  if (!condition || condition->shape().size() > 1 || !op.is_host(1) || !op.is_host(2)) return std::nullopt;
  const std::vector<int64_t> chosen = condition->to_int64();
  const HostInts x = op.host(1), y = op.host(2);
  const size_t n = std::max({chosen.size(), x.values.size(), y.values.size()});
  for (size_t length : {chosen.size(), x.values.size(), y.values.size()})
    if (length != n && length != 1) return std::nullopt;
  auto at = [](const auto& all, size_t i) { return all[all.size() == 1 ? 0 : i]; };
  HostInts out{{}, std::max({static_cast<int>(condition->shape().size()), x.rank, y.rank}), x.dtype};
  for (size_t i = 0; i < n; ++i) out.values.push_back(at(chosen, i) ? at(x.values, i) : at(y.values, i));
  return out;
}

bool is_host_bool(Op& op, size_t i) {
  const Operand& o = op.operand(i);
  if (const Value* v = o.value()) return op.b.type(*v).kind == Kind::Bool;
  return o.constant() && o.constant()->dtype() == DType::Bool && o.constant()->shape().empty();
}

Value host_bool(Op& op, size_t i) {
  const Operand& o = op.operand(i);
  return o.value() ? *o.value() : op.b.host_bool(o.constant()->to_int64().at(0) != 0);
}

Operand bool_operand(Builder& b, Value v) {
  const ValueInfo& info = b.graph().info(v);
  if (info.leaf != LeafKind::Constant) return v;
  return b.graph().constants[static_cast<size_t>(info.index)];
}

Ints flat_ints(Op& op, size_t i) {
  if (op.is_host(i) || op.is_constant(i) || op.rank(i) <= 1) return op.ints(i);
  Value v = op.input(i);
  const Dims dims = op.b.dims(v);
  if (std::find(dims.begin(), dims.end(), kUnknown) != dims.end())
    op.fail(ErrorKind::Unsupported, "input " + std::to_string(i) + " holds sizes, but has an unknown shape.");
  Value flat = op.b.reshape(v, {Int(num_elements(dims))});
  Ints out;
  for (int64_t k = 0; k < num_elements(dims); ++k) out.push_back(op.b.as_int(op.b.select(flat, 0, k)));
  return out;
}

std::vector<int64_t> known_ints(Op& op, size_t i) { return op.constant(i).to_int64(); }

int64_t known_int(Op& op, size_t i) {
  std::vector<int64_t> all = known_ints(op, i);
  if (all.size() != 1) op.fail(ErrorKind::BadFile, "input " + std::to_string(i) + " must be one integer.");
  return all[0];
}

}  // namespace midstream::tensorflow
