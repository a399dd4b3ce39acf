#include "lower/keras/operation_args.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "lower/keras/host.h"
#include "lower/math/layout.h"

namespace midstream::keras {
namespace {

struct Flat {
  Dims shape;
  std::vector<double> numbers;
  std::vector<int64_t> integers;
  bool floats = false, bools = true;
};

bool flatten(const json& v, size_t depth, Flat& out) {
  if (v.is_array()) {
    const auto n = static_cast<int64_t>(v.size());
    if (out.shape.size() == depth && out.numbers.empty())
      out.shape.push_back(n);
    else if (out.shape.size() <= depth || out.shape[depth] != n)
      return false;
    for (const json& item : v)
      if (!flatten(item, depth + 1, out)) return false;
    return true;
  }
  if (depth != out.shape.size()) return false;
  // What JSON has no number for.
  if (v == "NaN" || v == "Infinity" || v == "-Infinity") {
    const double infinity = std::numeric_limits<double>::infinity();
    out.numbers.push_back(v == "NaN" ? std::nan("") : v == "Infinity" ? infinity : -infinity);
    out.integers.push_back(0);
    out.floats = true;
    out.bools = false;
    return true;
  }
  if (!v.is_number() && !v.is_boolean()) return false;
  out.floats |= v.is_number_float();
  out.bools &= v.is_boolean();
  out.numbers.push_back(v.is_boolean() ? static_cast<double>(v.get<bool>()) : v.get<double>());
  out.integers.push_back(v.is_boolean()          ? static_cast<int64_t>(v.get<bool>())
                         : v.is_number_integer() ? v.get<int64_t>()
                                                 : static_cast<int64_t>(v.get<double>()));
  return true;
}

template <class T, class From>
Array array_as(DType dtype, const Dims& shape, const std::vector<From>& numbers) {
  std::vector<T> out;
  out.reserve(numbers.size());
  for (From n : numbers) out.push_back(static_cast<T>(n));
  return Array::of(dtype, shape, std::move(out));
}

std::optional<Array> array_of(const Flat& f, DType dtype) {
  switch (dtype) {
    case DType::Bool: {
      std::vector<uint8_t> out;
      for (double n : f.numbers) out.push_back(n != 0);
      return Array::of(dtype, f.shape, std::move(out));
    }
    case DType::UInt8: return array_as<uint8_t>(dtype, f.shape, f.integers);
    case DType::Int8: return array_as<int8_t>(dtype, f.shape, f.integers);
    case DType::Int16: return array_as<int16_t>(dtype, f.shape, f.integers);
    case DType::Int32: return array_as<int32_t>(dtype, f.shape, f.integers);
    case DType::Int64: return Array::of(dtype, f.shape, f.integers);
    case DType::Float32: return array_as<float>(dtype, f.shape, f.numbers);
    case DType::Float64: return Array::of(dtype, f.shape, f.numbers);
    default: return std::nullopt;
  }
}

std::optional<Tensor> tensor_at(const Call& call, size_t position, const std::string& name) {
  const Tensor t = call.arg(position, name);
  return t.value ? std::optional(t) : std::nullopt;
}

const std::vector<ListItem>* list_at(const Call& call, size_t position, const std::string& name) {
  for (const std::string& key : {name, std::to_string(position)})
    if (auto it = call.lists.find(key); it != call.lists.end()) return &it->second;
  return nullptr;
}

[[noreturn]] void no_tensor(Layer& l, const std::string& name, const json& data) {
  l.b.fail(ErrorKind::Unsupported,
           fmt::format("argument '{}' is {}, which is neither a tensor nor numbers.", name, data.dump().substr(0, 60)));
}

}  // namespace

DType promoted(DType a, DType b) {
  if (a == b) return a;
  if (a == DType::Bool) return b;
  if (b == DType::Bool) return a;
  if (is_floating(a) != is_floating(b)) return is_floating(a) ? a : b;
  if (item_size(a) == item_size(b)) return is_floating(a) ? DType::Float32 : item_size(a) == 1 ? DType::Int16 : DType::Int64;
  return item_size(a) > item_size(b) ? a : b;
}

DType float_dtype(DType dtype) { return is_floating(dtype) ? dtype : DType::Float32; }
Value as_float(Builder& b, Value v) { return b.cast(v, float_dtype(b.dtype(v))); }
Value as_bool(Builder& b, Value v) { return b.dtype(v) == DType::Bool ? v : b.compare("ne", v, 0.0); }

std::optional<Literal> literal_of(const json& data) {
  if (data.is_object()) {
    if (!data.contains("class_name") || (data.at("class_name") != "__numpy__" && data.at("class_name") != "__tensor__"))
      return std::nullopt;
    const json& config = data.at("config");
    const auto dtype = parse_dtype(config.value("dtype", std::string("float32")));
    if (!dtype) return std::nullopt;
    return Literal{config.at("value"), *dtype, false};
  }
  Flat f;
  if (!flatten(data, 0, f)) return std::nullopt;
  return Literal{data, f.floats ? DType::Float32 : f.bools && !f.numbers.empty() ? DType::Bool : DType::Int32, true};
}

DType beside(const Literal& literal, DType other) {
  if (!literal.weak) return promoted(literal.dtype, other);
  if (is_floating(other)) return other;
  if (is_floating(literal.dtype)) return DType::Float32;
  return other == DType::Bool ? literal.dtype : other;
}

Value constant_of(Builder& b, const json& numbers, DType dtype) {
  Flat f;
  if (!flatten(numbers, 0, f)) b.fail(ErrorKind::Unsupported, "an array in the file holds what is no number.");
  if (auto array = array_of(f, dtype)) return b.constant(std::move(*array));
  return b.cast(b.constant(*array_of(f, is_floating(dtype) ? DType::Float32 : DType::Int64)), dtype);
}

bool is_given(const Call& call, size_t position, const std::string& name) {
  return tensor_at(call, position, name) || data_of(call, position, name) || list_at(call, position, name);
}

const json* data_of(const Call& call, size_t position, const std::string& name) {
  for (const std::string& key : {name, std::to_string(position)})
    if (auto it = call.options.find(key); it != call.options.end()) return &*it;
  return nullptr;
}

Value operand(Layer& l, const Call& call, size_t position, const std::string& name, std::optional<DType> dtype) {
  if (list_at(call, position, name)) {  // a list that holds tensors is their stack
    Values items = operand_list(l, call, position, name);
    return l.b.stack(items, 0);
  }
  if (auto t = tensor_at(call, position, name)) return t->value;
  const json* data = data_of(call, position, name);
  if (!data) return {};
  const auto literal = literal_of(*data);
  if (!literal) no_tensor(l, name, *data);
  return constant_of(l.b, literal->value, literal->weak && dtype ? *dtype : literal->dtype);
}

Pair operands(Layer& l, const Call& call, const char* first, const char* second) {
  Builder& b = l.b;
  const char* names[] = {first, second};
  Value v[2];
  std::optional<Literal> literals[2];
  for (size_t i : {0, 1}) {
    if (data_of(call, i, names[i]) && !list_at(call, i, names[i])) {
      literals[i] = literal_of(*data_of(call, i, names[i]));
      if (!literals[i]) no_tensor(l, names[i], *data_of(call, i, names[i]));
    } else {
      v[i] = operand(l, call, i, names[i]);
      if (!v[i]) b.fail(ErrorKind::Unsupported, fmt::format("argument '{}' is missing.", names[i]));
    }
  }
  if (!v[0] && !v[1]) b.fail(ErrorKind::Unsupported, "an operation on two numbers has no lowering.");
  DType dtype = b.dtype(v[0] ? v[0] : v[1]);
  dtype = v[0] && v[1] ? promoted(dtype, b.dtype(v[1])) : beside(*literals[v[0] ? 1 : 0], dtype);
  for (size_t i : {0, 1}) v[i] = v[i] ? b.cast(v[i], dtype) : constant_of(b, literals[i]->value, dtype);
  return {v[0], v[1]};
}

Values operand_list(Layer& l, const Call& call, size_t position, const std::string& name) {
  Builder& b = l.b;
  const std::vector<ListItem>* list = list_at(call, position, name);
  if (!list) {
    if (auto t = tensor_at(call, position, name)) return {t->value};
    b.fail(ErrorKind::Unsupported, fmt::format("argument '{}' is no list of tensors.", name));
  }
  std::optional<DType> dtype;
  std::vector<std::optional<Literal>> literals;
  for (const ListItem& item : *list) {
    literals.push_back(item.tensor.value ? std::nullopt : literal_of(item.data));
    if (!item.tensor.value && !literals.back()) no_tensor(l, name, item.data);
    const bool typed = item.tensor.value || !literals.back()->weak;
    const DType own = item.tensor.value ? b.dtype(item.tensor.value) : literals.back()->dtype;
    if (typed) dtype = dtype ? promoted(*dtype, own) : own;
  }
  for (const auto& literal : literals)
    if (literal && literal->weak) dtype = beside(*literal, *dtype);
  Values out;
  for (size_t i = 0; i < list->size(); ++i)
    out.push_back(literals[i] ? constant_of(b, literals[i]->value, *dtype) : b.cast((*list)[i].tensor.value, *dtype));
  return out;
}

Int int_of(Layer& l, Value v) {
  if (const Ints* known = l.host().sizes_of(v); known && known->size() == 1) return known->at(0);
  Value scalar = v;
  while (l.b.rank(scalar) > 0) scalar = l.b.select(scalar, 0, 0);
  return l.b.as_int(l.b.cast(scalar, DType::Int64));
}

Value size_tensor(Layer& l, const Ints& sizes, int64_t rank, DType dtype) {
  Value v = l.b.cast(rank == 0 ? l.b.tensor_of(sizes.at(0)) : l.b.tensor_of(sizes), dtype);
  l.host().set_sizes(v, sizes);
  return v;
}

Ints int_list(Layer& l, const Call& call, size_t position, const std::string& name) {
  Builder& b = l.b;
  const auto from_json = [&](const json& data) {
    Ints out;
    const json& value = data.is_object() && data.contains("config") ? data.at("config").at("value") : data;
    Flat f;
    if (!flatten(value, 0, f) || f.floats)
      b.fail(ErrorKind::Unsupported, fmt::format("argument '{}' is {}: integers are wanted.", name, value.dump()));
    for (int64_t i : f.integers) out.push_back(i);
    return out;
  };
  if (l.has(name)) return from_json(l.config.at(name));
  if (const auto* list = list_at(call, position, name)) {
    Ints out;
    for (const ListItem& item : *list) {
      if (item.tensor.value)
        out.push_back(int_of(l, item.tensor.value));
      else
        for (const Int& i : from_json(item.data)) out.push_back(i);
    }
    return out;
  }
  if (auto t = tensor_at(call, position, name)) {
    if (const Ints* known = l.host().sizes_of(t->value)) return *known;
    if (b.rank(t->value) == 0) return {int_of(l, t->value)};
    const int64_t n = b.rank(t->value) == 1 ? b.dims(t->value)[0] : kUnknown;
    if (n == kUnknown)
      b.fail(ErrorKind::Unsupported, fmt::format("argument '{}' is a list of unknown length.", name));
    Ints out;
    for (int64_t i = 0; i < n; ++i) out.push_back(int_of(l, b.select(t->value, 0, i)));
    return out;
  }
  const json* data = data_of(call, position, name);
  return data ? from_json(*data) : Ints{};
}

std::vector<int64_t> axes_of(const Layer& l, Value v, const char* entry) {
  if (!l.has(entry)) {
    std::vector<int64_t> all(static_cast<size_t>(l.b.rank(v)));
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  return math::axes_of(l.b, v, l.ints(entry));
}

}  // namespace midstream::keras
