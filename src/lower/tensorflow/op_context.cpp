#include <algorithm>

#include "lower/tensorflow/driver.h"
#include "lower/tensorflow/op.h"

namespace midstream::tensorflow {

Operand::Operand() = default;
Operand::Operand(const Operand&) = default;
Operand::Operand(Operand&&) noexcept = default;
Operand& Operand::operator=(const Operand&) = default;
Operand& Operand::operator=(Operand&&) noexcept = default;
Operand::~Operand() = default;

namespace {

bool fits_host(const Array& a) {
  return (a.dtype() == DType::Int32 || a.dtype() == DType::Int64) && a.shape().size() <= 1;
}

Value numbers(Builder& b, const HostInts& h) {
  bool constant = std::all_of(h.values.begin(), h.values.end(), [](const Int& i) { return i.is_constant(); });
  if (constant) {
    std::vector<int64_t> values;
    for (const Int& i : h.values) values.push_back(i.constant());
    Dims shape;
    if (h.rank == 1) shape.push_back(static_cast<int64_t>(values.size()));
    if (h.dtype == DType::Int32)
      return b.constant(Array::of(h.dtype, shape, std::vector<int32_t>(values.begin(), values.end())));
    return b.constant(Array::of(DType::Int64, shape, values));
  }
  Value v = h.rank == 0 ? b.tensor_of(h.values.at(0)) : b.tensor_of(h.values);
  return b.cast(v, h.dtype);
}

}  // namespace

Value materialize(Builder& b, const Operand& operand) {
  if (const Value* v = operand.value()) {
    if (b.type(*v).kind == Kind::Int) return b.tensor_of(Int(b, *v));
    if (b.type(*v).kind != Kind::Bool) return *v;
    return b.cond(
        *v, [&] { return Values{b.constant(Array::of<uint8_t>(DType::Bool, {}, {1}))}; },
        [&] { return Values{b.constant(Array::of<uint8_t>(DType::Bool, {}, {0}))}; })[0];
  }
  if (const HostInts* h = operand.ints()) return numbers(b, *h);
  if (const Array* a = operand.constant()) {
    if (a->dtype() == DType::String) b.fail(ErrorKind::Unsupported, "strings cannot be computed with in PyTorch.");
    return b.constant(*a);
  }
  if (operand.variable()) b.fail(ErrorKind::Internal, "a variable's handle is used as a tensor.");
  b.fail(ErrorKind::Unsupported, "a resource is used as a tensor.");
}

void Op::expect_attrs(std::initializer_list<const char*> names) const {
  for (const auto& [name, value] : node.attrs) {
    bool type = value.kind() == AttrValue::Kind::Type || name == "N";
    if (name.starts_with('_') || type) continue;
    if (std::find_if(names.begin(), names.end(), [&](const char* n) { return name == n; }) != names.end()) continue;
    std::string known;
    for (const char* n : names) known += (known.empty() ? "" : ", ") + std::string(n);
    fail(ErrorKind::Unsupported, "unexpected attribute " + name + "=" + value.text() + ": this lowering knows " +
                                     (known.empty() ? "none" : known) +
                                     ". Ignoring it could change results, so nothing was converted.");
  }
}

std::string Op::text(const char* attr, std::string otherwise) const {
  return has(attr) ? node.attr(attr).s() : std::move(otherwise);
}
int64_t Op::integer(const char* attr, int64_t otherwise) const { return has(attr) ? node.attr(attr).i() : otherwise; }
double Op::number(const char* attr, double otherwise) const {
  return has(attr) ? static_cast<double>(node.attr(attr).f()) : otherwise;
}
bool Op::flag(const char* attr, bool otherwise) const { return has(attr) ? node.attr(attr).b() : otherwise; }
std::vector<int64_t> Op::int_list(const char* attr) const {
  return has(attr) ? node.attr(attr).ints() : std::vector<int64_t>();
}
DType Op::dtype(const char* attr) const {
  TfType type = node.attr(attr).type();
  if (auto dtype = to_dtype(type)) return *dtype;
  fail(ErrorKind::Unsupported, std::string(attr) + "=" + to_string(type) + " has no PyTorch counterpart.");
}

const Operand& Op::operand(size_t i) const {
  if (i >= inputs_.size())
    fail(ErrorKind::BadFile,
         "has " + std::to_string(inputs_.size()) + " inputs, at least " + std::to_string(i + 1) + " are needed.");
  return inputs_[i];
}
Value Op::input(size_t i) {
  if (auto* handle = operand(i).variable(); handle && handle->ref) return read_variable(handle->name);
  return materialize(b, operand(i));
}
Values Op::inputs(size_t first, std::optional<size_t> count) {
  Values out;
  for (size_t i = first; i < (count ? first + *count : size()); ++i) out.push_back(input(i));
  return out;
}

bool Op::is_constant(size_t i) const {
  const Operand& o = operand(i);
  if (o.constant()) return true;
  const HostInts* h = o.ints();
  return h && std::all_of(h->values.begin(), h->values.end(), [](const Int& v) { return v.is_constant(); });
}

Array Op::constant(size_t i) const {
  const Operand& o = operand(i);
  if (const Array* a = o.constant()) return *a;
  if (!is_constant(i))
    fail(ErrorKind::Unsupported,
         "input " + std::to_string(i) + " is computed, but must be known when the graph is built.");
  std::vector<int64_t> values;
  for (const Int& v : o.ints()->values) values.push_back(v.constant());
  Dims shape;
  if (o.ints()->rank == 1) shape.push_back(static_cast<int64_t>(values.size()));
  return Array::of(DType::Int64, shape, std::move(values));
}

bool Op::is_host(size_t i) const {
  const Operand& o = operand(i);
  return o.ints() || (o.constant() && fits_host(*o.constant()));
}

HostInts Op::host(size_t i) const {
  const Operand& o = operand(i);
  if (o.ints()) return *o.ints();
  if (!o.constant() || !fits_host(*o.constant()))
    fail(ErrorKind::Internal, "input " + std::to_string(i) + " is no host integer.");
  HostInts h{{}, static_cast<int>(o.constant()->shape().size()), o.constant()->dtype()};
  for (int64_t v : o.constant()->to_int64()) h.values.emplace_back(v);
  return h;
}

Ints Op::ints(size_t i) {
  if (is_host(i)) return host(i).values;
  if (const Array* a = operand(i).constant()) {
    Ints out;
    for (int64_t v : a->to_int64()) out.emplace_back(v);
    return out;
  }
  Value v = input(i);
  if (b.rank(v) == 0) return {b.as_int(v)};
  if (b.rank(v) != 1 || b.dims(v)[0] == kUnknown)
    fail(ErrorKind::Unsupported, "input " + std::to_string(i) + " is a shape of unknown length.");
  Ints out;
  for (int64_t k = 0; k < b.dims(v)[0]; ++k) out.push_back(b.as_int(b.select(v, 0, k)));
  return out;
}

Int Op::int_value(size_t i) {
  Ints all = ints(i);
  if (all.size() != 1) fail(ErrorKind::BadFile, "input " + std::to_string(i) + " must be one integer.");
  return all[0];
}

std::string Op::variable(size_t i) const {
  if (auto* handle = operand(i).variable()) return handle->name;
  fail(ErrorKind::Unsupported, "input " + std::to_string(i) + " is no variable of the file.");
}

DType Op::input_dtype(size_t i) const {
  const Operand& o = operand(i);
  if (o.constant()) return o.constant()->dtype();
  if (o.ints()) return o.ints()->dtype;
  if (o.value()) return b.type(*o.value()).kind == Kind::Bool ? DType::Bool : b.dtype(*o.value());
  if (o.variable()) return b.graph().variables->find(o.variable()->name)->dtype;
  fail(ErrorKind::Internal, "input " + std::to_string(i) + " has no dtype.");
}

int64_t Op::rank(size_t i) {
  const Operand& o = operand(i);
  if (o.constant()) return static_cast<int64_t>(o.constant()->shape().size());
  if (o.ints()) return o.ints()->rank;
  return b.rank(input(i));
}

Value Op::read_variable(const std::string& name) { return driver_.read_variable(name); }
void Op::assign_variable(const std::string& name, Value value) { driver_.assign_variable(name, value); }
Operands Op::call_function(const FuncRef& function, const Operands& arguments) {
  return driver_.call_function(function.name, arguments);
}

}  // namespace midstream::tensorflow
