#include "graph/parse_leaves.h"

#include <cstring>

namespace midstream::text {

DType LeafParser::dtype() {
  const std::string word = in_.word();
  auto parsed = parse_short_dtype(word);
  if (!parsed) in_.fail("'" + word + "' is no type.");
  return *parsed;
}

ValueInfo LeafParser::type() {
  ValueInfo info;
  info.type = Type{Kind::None, DType::Float32, {}};
  GivenSizes given;  // axis -> samples
  if (in_.accept_word("int"))
    info.type = Type{Kind::Int, DType::Int64, {}};
  else if (in_.accept_word("bool"))
    info.type = Type{Kind::Bool, DType::Bool, {}};
  else if (in_.accept_word("float"))
    info.type = Type{Kind::Float, DType::Float64, {}};
  else if (in_.accept_word("none"))
    return info;
  else if (in_.accept("list(")) {
    info.type.kind = Kind::List;
    if (in_.accept("?"))
      info.type.dims = {kUnknown};
    else
      shape(info, given);
    const bool blank = info.type.dims == Dims{kUnknown} && given.empty() && in_.accept(")");
    info.samples = default_samples(*graph_, info.type);
    if (blank)
      info.samples[0].dims = info.samples[1].dims = {kUnknown};
    else
      in_.expect(")");
  } else {
    info.type.kind = Kind::Tensor;
    shape(info, given);
  }
  if (info.type.kind != Kind::List) info.samples = default_samples(*graph_, info.type);
  for (const auto& [axis, sizes] : given)
    for (size_t s = 0; s < 2; ++s) info.samples[s].dims[axis] = sizes[s];
  if (info.type.kind != Kind::Tensor && in_.peek() == '(') numbers(info);
  return info;
}

void LeafParser::shape(ValueInfo& info, GivenSizes& given) {
  info.type.dtype = dtype();
  in_.expect("[");
  while (!in_.accept("]")) {
    if (!in_.accept("?")) {
      info.type.dims.push_back(in_.integer());
    } else {
      info.type.dims.push_back(kUnknown);
      if (in_.accept("(")) {
        const int64_t a = in_.integer();
        in_.expect(",");
        given.push_back({info.type.dims.size() - 1, {a, in_.integer()}});
        in_.expect(")");
      }
    }
    in_.accept(",");
  }
}

void LeafParser::numbers(ValueInfo& info) {
  in_.expect("(");
  for (Sample& s : info.samples) {
    bool is_real = false;
    const double real = in_.number(&is_real, &s.number);
    if (info.type.kind == Kind::Float) s.real = real;
    in_.accept(",");
  }
  in_.expect(")");
}

Value LeafParser::variable() {
  Variable v;
  v.name = in_.quoted();
  const ValueInfo source = type();
  v.dtype = source.type.dtype;
  v.source_dims = source.type.dims;
  v.trainable = in_.accept_word("trainable");
  if (in_.accept_word("role")) {
    const std::string word = in_.word();
    for (Role role : {Role::Weight, Role::Seed, Role::Metric, Role::Slot, Role::Step})
      if (text::name(role) == word) v.role = role;
  }
  if (in_.accept_word("source")) v.source = in_.quoted();
  if (in_.accept_word("stored_as")) v.stored_as = parse_transforms(in_.rest_of_line());
  v.layout_chooser = Variable::kLayoutFixed;
  ValueInfo info;
  info.type = Type{Kind::Tensor, v.dtype, v.dims()};
  for (Sample& s : info.samples) s.dims = info.type.dims;
  info.leaf = LeafKind::Variable;
  info.index = static_cast<int32_t>(graph_->variables->size());
  graph_->variables->add(std::move(v));
  return graph_->add_value(std::move(info));
}

Value LeafParser::training() {
  ValueInfo info;
  info.type = Type{Kind::Bool, DType::Bool, {}};
  info.samples = default_samples(*graph_, info.type);
  info.leaf = LeafKind::Training;
  return graph_->training = graph_->add_value(std::move(info));
}

Value LeafParser::constant() {
  ValueInfo info;
  Array array;
  bool is_real = false;
  int64_t integer = 0;
  if (in_.accept_word("int")) {
    info.type = Type{Kind::Int, DType::Int64, {}};
    integer = in_.integer();
    array = Array::of(DType::Int64, {}, std::vector<int64_t>{integer});
  } else if (in_.accept_word("bool")) {
    info.type = Type{Kind::Bool, DType::Bool, {}};
    integer = in_.accept_word("true");
    if (!integer) in_.expect("false");
    array = Array::of(DType::Bool, {}, std::vector<uint8_t>{integer != 0});
  } else if (in_.accept_word("float")) {
    info.type = Type{Kind::Float, DType::Float64, {}};
    info.samples[0].real = info.samples[1].real = in_.number(&is_real, &integer);
    integer = 0;
    array = Array::of(DType::Float64, {}, std::vector<double>{info.samples[0].real});
  } else {
    info = type();
    array = elements(info.type);
  }
  for (Sample& s : info.samples) s.number = integer;
  info.leaf = LeafKind::Constant;
  info.index = static_cast<int32_t>(graph_->constants.size());
  graph_->constants.push_back(std::move(array));
  return graph_->add_value(std::move(info));
}

Array LeafParser::elements(const Type& type) {
  std::byte* bytes = nullptr;
  if (type.dtype == DType::String) {
    std::vector<std::string> items;
    if (in_.accept("..."))
      items.resize(static_cast<size_t>(num_elements(type.dims)));
    else {
      in_.expect("[");
      while (!in_.accept("]")) {
        items.push_back(in_.quoted());
        in_.accept(",");
      }
    }
    return Array::of_strings(type.dims, std::move(items));
  }
  Array array = Array::allocate(type.dtype, type.dims, &bytes);
  if (in_.accept("...")) return array;
  const bool bits = in_.accept_word("bits");
  in_.expect("[");
  for (int64_t i = 0; i < array.size(); ++i) {
    element(type.dtype, bits, bytes + static_cast<size_t>(i) * item_size(type.dtype));
    in_.accept(",");
  }
  in_.expect("]");
  return array;
}

void LeafParser::element(DType dtype, bool bits, std::byte* to) {
  bool is_real = false;
  int64_t integer = 0;
  const double real = in_.number(&is_real, &integer);
  const auto single = static_cast<float>(real);
  if (dtype == DType::Float64)
    std::memcpy(to, &real, sizeof real);
  else if (dtype == DType::Float32)
    std::memcpy(to, &single, sizeof single);
  else if (is_floating(dtype) && !bits)
    in_.fail("half floats are written as bits.");
  else
    std::memcpy(to, &integer, item_size(dtype));  // little-endian
}

}  // namespace midstream::text
