#include "fake_dialect.h"

#include <algorithm>
#include <functional>
#include <map>

#include "base/error.h"

namespace midstream {
namespace {

using SampleArgs = std::vector<SampleArg>;
using Rule = std::function<std::vector<SampleOutput>(const SampleArgs&)>;

SampleOutput tensor(DType dtype, Dims dims) { return {Kind::Tensor, dtype, {.dims = std::move(dims)}}; }
SampleOutput integer(int64_t n) { return {Kind::Int, DType::Int64, {.number = n}}; }
SampleOutput boolean(bool b) { return {Kind::Bool, DType::Bool, {.number = b}}; }
SampleOutput list(size_t length, std::optional<SampleTensor> element) {
  SampleOutput out{Kind::List, DType::Float32, {.dims = {kUnknown}, .number = static_cast<int64_t>(length)}};
  if (element) {
    out.dtype = element->dtype;
    out.sample.dims = element->dims;
  }
  return out;
}

const SampleTensor& t(const SampleArg& a) { return std::get<SampleTensor>(a); }
int64_t i(const SampleArg& a) { return std::get<int64_t>(a); }
const Dims& ints(const SampleArg& a) { return std::get<std::vector<int64_t>>(a); }
const auto& items(const SampleArg& a) { return std::get<std::vector<std::optional<SampleTensor>>>(a); }
std::optional<SampleTensor> element(const SampleArg& a) { return items(a).empty() ? std::nullopt : items(a)[0]; }

[[noreturn]] void impossible(const std::string& why) { throw Error(ErrorKind::Mismatch, "", why); }

Dims broadcast(Dims a, Dims b) {
  if (a.size() < b.size()) std::swap(a, b);
  for (size_t k = 0; k < b.size(); ++k) {
    int64_t &x = a[a.size() - 1 - k], y = b[b.size() - 1 - k];
    if (x != y && x != 1 && y != 1) impossible("sizes " + std::to_string(x) + " and " + std::to_string(y) + " differ.");
    x = x == 1 ? y : x;
  }
  return a;
}

size_t axis(int64_t a, size_t rank) {
  if (a < 0) a += static_cast<int64_t>(rank);
  if (a < 0 || a >= static_cast<int64_t>(rank)) impossible("axis out of range.");
  return static_cast<size_t>(a);
}

std::vector<SampleOutput> conv2d(const SampleArgs& a) {
  const Dims &x = t(a[0]).dims, &w = t(a[1]).dims, &stride = ints(a[3]), &pad = ints(a[4]);
  if (x[1] != w[1] * i(a[6])) impossible("expected input with " + std::to_string(w[1]) + " channels.");
  Dims out{x[0], w[0]};
  for (size_t k = 0; k < 2; ++k)
    out.push_back((x[k + 2] + 2 * pad[k % pad.size()] - w[k + 2]) / stride[k % stride.size()] + 1);
  return {tensor(t(a[0]).dtype, out)};
}

std::vector<SampleOutput> reshape(const SampleArgs& a) {
  Dims to = ints(a[1]);
  int64_t known = 1, all = num_elements(t(a[0]).dims);
  for (int64_t d : to) known *= d == -1 ? 1 : d;
  for (int64_t& d : to) d = d == -1 ? all / known : d;
  if (num_elements(to) != all) impossible("shape " + to_string(to) + " is invalid.");
  return {tensor(t(a[0]).dtype, to)};
}

std::vector<SampleOutput> reduce(const SampleArgs& a) {
  Dims out = t(a[0]).dims;
  for (int64_t d : ints(a[1])) out[axis(d, out.size())] = 0;
  if (std::get<bool>(a[2]))
    std::replace(out.begin(), out.end(), int64_t{0}, int64_t{1});
  else
    std::erase(out, 0);
  return {tensor(t(a[0]).dtype, out)};
}

std::vector<SampleOutput> cat(const SampleArgs& a) {
  SampleTensor out = *items(a[0]).at(0);
  const size_t along = axis(i(a[1]), out.dims.size());
  for (size_t k = 1; k < items(a[0]).size(); ++k) out.dims[along] += items(a[0])[k]->dims[along];
  return {tensor(out.dtype, out.dims)};
}

std::vector<SampleOutput> slice(const SampleArgs& a) {
  Dims out = t(a[0]).dims;
  int64_t& size = out[axis(i(a[1]), out.size())];
  auto bound = [&](const SampleArg& b, int64_t otherwise) {
    int64_t v = std::holds_alternative<int64_t>(b) ? i(b) : otherwise;
    return std::clamp<int64_t>(v < 0 ? v + size : v, 0, size);
  };
  const int64_t start = bound(a[2], 0), end = bound(a[3], size);
  size = std::max<int64_t>(0, end - start);
  return {tensor(t(a[0]).dtype, out)};
}

struct Entry {
  Schema schema;
  Rule rule;
};

SchemaArg argument(std::string text, bool kwarg_only) {
  SchemaArg arg;
  arg.kwarg_only = kwarg_only;
  if (size_t equals = text.find('='); equals != std::string::npos) {
    const std::string value = text.substr(equals + 1);
    text.erase(equals);
    arg.has_default = true;
    if (value == "True" || value == "False")
      arg.default_value = value == "True";
    else if (value.find('.') != std::string::npos)
      arg.default_value = std::stod(value);
    else if (value != "None")
      arg.default_value = static_cast<int64_t>(std::stoll(value));
  }
  const size_t space = text.rfind(' ');
  arg.type = text.substr(0, space);
  arg.name = text.substr(space + 1);
  arg.optional = arg.type.ends_with('?');
  return arg;
}

class FakeDialect final : public Dialect {
 public:
  FakeDialect();
  bool has(const std::string& op) const override { return entries_.contains(op); }
  const Schema& schema(const std::string& op) const override {
    auto it = entries_.find(op);
    if (it == entries_.end()) throw Error(ErrorKind::Internal, op, "is no operator of the fake dialect.");
    return it->second.schema;
  }
  std::vector<SampleOutput> infer(const Schema& schema, const SampleArgs& args, bool* is_list) const override {
    *is_list = schema.name == "aten::unbind.int";
    return entries_.at(schema.name).rule(args);
  }

 private:
  // "aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor"
  Schema& def(const std::string& text, Rule rule) {
    Schema schema;
    const size_t open = text.find('('), close = text.rfind(") ->");
    schema.name = text.substr(0, open);
    bool kwarg_only = false;
    for (size_t at = open + 1; at < close;) {
      size_t end = std::min(text.find(", ", at), close);
      const std::string piece = text.substr(at, end - at);
      if (piece == "*")
        kwarg_only = true;
      else
        schema.args.push_back(argument(piece, kwarg_only));
      at = end + 2;
    }
    schema.returns = {text.substr(close + 5)};
    Entry& entry = entries_[schema.name];
    entry = {std::move(schema), std::move(rule)};
    return entry.schema;
  }
  void elementwise();
  void shapes();
  void host();

  std::map<std::string, Entry> entries_;
};

FakeDialect::FakeDialect() {
  elementwise();
  shapes();
  host();
}

void FakeDialect::elementwise() {
  auto same = [](const SampleArgs& a) { return std::vector{tensor(t(a[0]).dtype, t(a[0]).dims)}; };
  auto two = [](const SampleArgs& a) {
    return std::vector{tensor(t(a[0]).dtype, broadcast(t(a[0]).dims, t(a[1]).dims))};
  };
  def("aten::relu(Tensor self) -> Tensor", same).pointwise = true;
  def("aten::neg(Tensor self) -> Tensor", same).pointwise = true;
  def("aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", two).pointwise = true;
  def("aten::mul.Tensor(Tensor self, Tensor other) -> Tensor", two).pointwise = true;
  def("aten::add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", same).pointwise = true;
  def("aten::mul.Scalar(Tensor self, Scalar other) -> Tensor", same).pointwise = true;
  def("aten::to.dtype(Tensor self, ScalarType dtype, bool copy=False) -> Tensor", [](const SampleArgs& a) {
    return std::vector{tensor(std::get<DType>(a[1]), t(a[0]).dims)};
  }).pointwise = true;
  def("aten::bernoulli(Tensor self, *, Generator? generator=None) -> Tensor", same).random = true;
  def("aten::scale(Tensor self, float factor, bool twice=False) -> Tensor", same);
}

void FakeDialect::shapes() {
  def("aten::permute(Tensor self, int[] dims) -> Tensor", [](const SampleArgs& a) {
    Dims out;
    if (ints(a[1]).size() != t(a[0]).dims.size()) impossible("permute of the wrong rank.");
    for (int64_t d : ints(a[1])) out.push_back(t(a[0]).dims[axis(d, ints(a[1]).size())]);
    return std::vector{tensor(t(a[0]).dtype, out)};
  });
  def("aten::reshape(Tensor self, SymInt[] shape) -> Tensor", reshape);
  def("aten::flip(Tensor self, int[] dims) -> Tensor", [](const SampleArgs& a) {
    return std::vector{tensor(t(a[0]).dtype, t(a[0]).dims)};
  }).axes = Axes::Dims;
  def("aten::cat(Tensor[] tensors, int dim=0) -> Tensor", cat).axes = Axes::Cat;
  def("aten::constant_pad_nd(Tensor self, SymInt[] pad, Scalar value=0) -> Tensor", [](const SampleArgs& a) {
    Dims out = t(a[0]).dims;
    for (size_t k = 0; k < ints(a[1]).size(); ++k) out[out.size() - 1 - k / 2] += ints(a[1])[k];
    return std::vector{tensor(t(a[0]).dtype, out)};
  }).axes = Axes::Pad;
  def("aten::mean.dim(Tensor self, int[1]? dim, bool keepdim=False) -> Tensor", reduce).axes = Axes::Reduce;
  def("aten::slice.Tensor(Tensor self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor",
      slice)
      .axes = Axes::Dim;
  def("aten::conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=1, SymInt[2] padding=0, "
      "SymInt[2] dilation=1, SymInt groups=1) -> Tensor",
      conv2d);
  def("aten::unbind.int(Tensor self, int dim=0) -> Tensor[]", [](const SampleArgs& a) {
    Dims rest = t(a[0]).dims;
    const size_t along = axis(i(a[1]), rest.size());
    const auto n = static_cast<size_t>(rest[along]);
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(along));
    return std::vector(n, tensor(t(a[0]).dtype, rest));
  });
  def("aten::select.int(Tensor self, int dim, SymInt index) -> Tensor", [](const SampleArgs& a) {
    Dims rest = t(a[0]).dims;
    const size_t along = axis(i(a[1]), rest.size());
    if (i(a[2]) >= rest[along]) impossible("index " + std::to_string(i(a[2])) + " out of range.");
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(along));
    return std::vector{tensor(t(a[0]).dtype, rest)};
  });
}

void FakeDialect::host() {
  def("aten::sym_size.int(Tensor self, int dim) -> SymInt",
      [](const SampleArgs& a) { return std::vector{integer(t(a[0]).dims[axis(i(a[1]), t(a[0]).dims.size())])}; });
  auto arithmetic = [&](const std::string& name, int64_t (*f)(int64_t, int64_t)) {
    def("midstream::int_" + name + "(int a, int b) -> int",
        [f](const SampleArgs& a) { return std::vector{integer(f(i(a[0]), i(a[1])))}; });
  };
  arithmetic("add", [](int64_t a, int64_t b) { return a + b; });
  arithmetic("sub", [](int64_t a, int64_t b) { return a - b; });
  arithmetic("mul", [](int64_t a, int64_t b) { return a * b; });
  arithmetic("max", [](int64_t a, int64_t b) { return std::max(a, b); });
  arithmetic("floordiv", [](int64_t a, int64_t b) { return a / b; });
  def("midstream::int_lt(int a, int b) -> bool",
      [](const SampleArgs& a) { return std::vector{boolean(i(a[0]) < i(a[1]))}; });
  def("midstream::int_to_tensor(int a) -> Tensor",
      [](const SampleArgs&) { return std::vector{tensor(DType::Int64, {})}; });
  def("midstream::ints_to_tensor(int[] a) -> Tensor",
      [](const SampleArgs& a) { return std::vector{tensor(DType::Int64, {static_cast<int64_t>(ints(a[0]).size())})}; });
  def("midstream::tensor_to_int(Tensor a) -> int", [](const SampleArgs&) {
    SampleOutput out = integer(3);
    out.data_dependent = true;
    return std::vector{out};
  });
  def("midstream::tensor_to_bool(Tensor a) -> bool", [](const SampleArgs&) {
    SampleOutput out = boolean(true);
    out.data_dependent = true;
    return std::vector{out};
  });
  def("midstream::list_reserve(int n) -> Tensor[]",
      [](const SampleArgs& a) { return std::vector{list(static_cast<size_t>(i(a[0])), std::nullopt)}; });
  def("midstream::list_push(Tensor[] l, Tensor x) -> Tensor[]",
      [](const SampleArgs& a) { return std::vector{list(items(a[0]).size() + 1, t(a[1]))}; });
  def("midstream::list_stack(Tensor[] l) -> Tensor", [](const SampleArgs& a) {
    if (!element(a[0])) impossible("a list of unknown elements.");
    Dims dims = element(a[0])->dims;
    dims.insert(dims.begin(), static_cast<int64_t>(items(a[0]).size()));
    return std::vector{tensor(element(a[0])->dtype, dims)};
  });
}

}  // namespace

const Dialect& fake_dialect() {
  static const FakeDialect dialect;
  return dialect;
}

}  // namespace midstream
