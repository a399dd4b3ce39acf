// Host integers and booleans (sizes and what is computed from them), and lists of tensors (TensorFlow's TensorList):
// run on the host, as dispatcher operators so that the executor knows only one kind of call.
#include <ATen/ATen.h>

#include "libtorch/ops.h"

namespace midstream {
namespace {

using Tensors = std::vector<at::Tensor>;

int64_t floor_div(int64_t a, int64_t b) {
  TORCH_CHECK(b != 0, "division by zero in a size");
  int64_t q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

size_t checked(int64_t i, size_t n) {
  TORCH_CHECK(i >= 0 && i < static_cast<int64_t>(n), "list index ", i, " is outside of [0, ", n, ")");
  return static_cast<size_t>(i);
}

void define_ints(torch::Library& m) {
  m.def("int_add(int a, int b) -> int", [](int64_t a, int64_t b) { return a + b; });
  m.def("int_sub(int a, int b) -> int", [](int64_t a, int64_t b) { return a - b; });
  m.def("int_mul(int a, int b) -> int", [](int64_t a, int64_t b) { return a * b; });
  m.def("int_floordiv(int a, int b) -> int", floor_div);
  m.def("int_mod(int a, int b) -> int", [](int64_t a, int64_t b) { return a - floor_div(a, b) * b; });
  m.def("int_max(int a, int b) -> int", [](int64_t a, int64_t b) { return std::max(a, b); });
  m.def("int_min(int a, int b) -> int", [](int64_t a, int64_t b) { return std::min(a, b); });
  m.def("int_eq(int a, int b) -> bool", [](int64_t a, int64_t b) { return a == b; });
  m.def("int_ne(int a, int b) -> bool", [](int64_t a, int64_t b) { return a != b; });
  m.def("int_lt(int a, int b) -> bool", [](int64_t a, int64_t b) { return a < b; });
  m.def("int_le(int a, int b) -> bool", [](int64_t a, int64_t b) { return a <= b; });
  m.def("int_gt(int a, int b) -> bool", [](int64_t a, int64_t b) { return a > b; });
  m.def("int_ge(int a, int b) -> bool", [](int64_t a, int64_t b) { return a >= b; });
  m.def("bool_and(bool a, bool b) -> bool", [](bool a, bool b) { return a && b; });
  m.def("bool_or(bool a, bool b) -> bool", [](bool a, bool b) { return a || b; });
  m.def("bool_not(bool a) -> bool", [](bool a) { return !a; });
  m.def("int_to_tensor(int a) -> Tensor", [](int64_t a) { return at::scalar_tensor(a, at::kLong); });
  m.def("ints_to_tensor(int[] a) -> Tensor",
        [](at::IntArrayRef a) { return at::tensor(a, at::TensorOptions().dtype(at::kLong)); });
  m.def("tensor_to_int(Tensor a) -> int", [](const at::Tensor& a) { return a.item().toLong(); });
  m.def("tensor_to_bool(Tensor a) -> bool", [](const at::Tensor& a) { return a.item().toBool(); });
}

// Lists are immutable: set and push copy the handles (never the tensors), so autograd and loops need no care.
void define_lists(torch::Library& m) {
  m.def("list_reserve(int n) -> Tensor[]", [](int64_t n) { return Tensors(static_cast<size_t>(n)); });
  m.def("list_set(Tensor[] l, int i, Tensor x) -> Tensor[]", [](Tensors l, int64_t i, const at::Tensor& x) {
    l[checked(i, l.size())] = x;
    return l;
  });
  m.def("list_get(Tensor[] l, int i) -> Tensor", [](const Tensors& l, int64_t i) {
    const at::Tensor& x = l[checked(i, l.size())];
    TORCH_CHECK(x.defined(), "element ", i, " of a tensor list is read before it is set");
    return x;
  });
  m.def("list_push(Tensor[] l, Tensor x) -> Tensor[]", [](Tensors l, const at::Tensor& x) {
    l.push_back(x);
    return l;
  });
  m.def("list_pop(Tensor[] l) -> Tensor[]", [](Tensors l) {
    TORCH_CHECK(!l.empty(), "pop of an empty tensor list");
    l.pop_back();
    return l;
  });
  m.def("list_stack(Tensor[] l) -> Tensor", [](const Tensors& l) { return at::stack(l); });
  m.def("list_from_tensor(Tensor x) -> Tensor[]", [](const at::Tensor& x) { return x.unbind(0); });
  m.def("list_scatter(Tensor[] l, Tensor indices, Tensor x) -> Tensor[]", [](Tensors l, const at::Tensor& indices,
                                                                             const at::Tensor& x) {
    const at::Tensor at = indices.to(at::kCPU, at::kLong).contiguous();
    const Tensors rows = x.unbind(0);
    TORCH_CHECK(at.numel() == static_cast<int64_t>(rows.size()), at.numel(), " indices for ", rows.size(), " rows");
    for (size_t k = 0; k < rows.size(); ++k) l[checked(at.const_data_ptr<int64_t>()[k], l.size())] = rows[k];
    return l;
  });
  m.def("list_gather(Tensor[] l, Tensor indices) -> Tensor", [](const Tensors& l, const at::Tensor& indices) {
    const at::Tensor at = indices.to(at::kCPU, at::kLong).contiguous();
    Tensors rows;
    for (int64_t k = 0; k < at.numel(); ++k) rows.push_back(l[checked(at.const_data_ptr<int64_t>()[k], l.size())]);
    return at::stack(rows);
  });
  m.def("list_length(Tensor[] l) -> int", [](const Tensors& l) { return static_cast<int64_t>(l.size()); });
}

// A list's sample comes as vector<optional<SampleTensor>> of its length; elements that were never set are nullopt.
using SampleList = std::vector<std::optional<SampleTensor>>;

SampleOutput list_output(size_t length, std::optional<SampleTensor> element) {
  SampleOutput out;
  out.kind = Kind::List;
  out.sample.number = static_cast<int64_t>(length);
  out.sample.dims = {kUnknown};  // elements of an unknown type
  if (element) {
    out.dtype = element->dtype;
    out.sample.dims = element->dims;
  }
  return out;
}

std::optional<SampleTensor> element_of(const SampleArg& arg) {
  for (const auto& t : std::get<SampleList>(arg))
    if (t) return t;
  return std::nullopt;
}

size_t length_of(const SampleArg& arg) { return std::get<SampleList>(arg).size(); }

void add_rules(ShapeRules& rules) {
  using Args = const std::vector<SampleArg>&;
  rules.add("midstream::int_to_tensor", [](Args) { return std::vector{output(DType::Int64, {})}; });
  rules.add("midstream::ints_to_tensor",
            [](Args a) { return std::vector{output(DType::Int64, {static_cast<int64_t>(ints(a[0]).size())})}; });
  rules.add("midstream::tensor_to_int", [](Args) {
    return std::vector{SampleOutput{Kind::Int, DType::Int64, Sample{.dims = {}, .number = 3, .real = 0}, true}};
  });
  rules.add("midstream::tensor_to_bool", [](Args) {
    return std::vector{SampleOutput{Kind::Bool, DType::Bool, Sample{.dims = {}, .number = 1, .real = 0}, true}};
  });
  rules.add("midstream::list_reserve",
            [](Args a) { return std::vector{list_output(static_cast<size_t>(integer(a[0])), std::nullopt)}; });
  rules.add("midstream::list_set", [](Args a) { return std::vector{list_output(length_of(a[0]), tensor(a[2]))}; });
  rules.add("midstream::list_push", [](Args a) { return std::vector{list_output(length_of(a[0]) + 1, tensor(a[1]))}; });
  rules.add("midstream::list_pop", [](Args a) {
    return std::vector{list_output(length_of(a[0]) - std::min<size_t>(1, length_of(a[0])), element_of(a[0]))};
  });
  rules.add("midstream::list_get", [](Args a) {
    auto element = element_of(a[0]);
    if (!element) bad_shape("a tensor list is read whose elements' shape is unknown.");
    return std::vector{output(element->dtype, element->dims)};
  });
  rules.add("midstream::list_stack", [](Args a) {
    auto element = element_of(a[0]);
    if (!element) bad_shape("a tensor list is stacked whose elements' shape is unknown.");
    Dims dims = element->dims;
    dims.insert(dims.begin(), static_cast<int64_t>(length_of(a[0])));
    return std::vector{output(element->dtype, std::move(dims))};
  });
  rules.add("midstream::list_scatter", [](Args a) {
    const SampleTensor& x = tensor(a[2]);
    return std::vector{list_output(length_of(a[0]), SampleTensor{x.dtype, Dims(x.dims.begin() + 1, x.dims.end())})};
  });
  rules.add("midstream::list_gather", [](Args a) {
    auto element = element_of(a[0]);
    if (!element) bad_shape("a tensor list is gathered from whose elements' shape is unknown.");
    Dims dims = element->dims;
    dims.insert(dims.begin(), num_elements(tensor(a[1]).dims));
    return std::vector{output(element->dtype, std::move(dims))};
  });
  rules.add("midstream::list_from_tensor", [](Args a) {
    const SampleTensor& x = tensor(a[0]);
    return std::vector{
        list_output(static_cast<size_t>(x.dims.at(0)), SampleTensor{x.dtype, Dims(x.dims.begin() + 1, x.dims.end())})};
  });
  rules.add("midstream::list_length", [](Args a) {
    return std::vector{SampleOutput{Kind::Int, DType::Int64,
                                    Sample{.dims = {}, .number = static_cast<int64_t>(length_of(a[0])), .real = 0}}};
  });
}

}  // namespace

void register_host_ops(torch::Library& library, ShapeRules& rules) {
  define_ints(library);
  define_lists(library);
  add_rules(rules);
}

}  // namespace midstream
