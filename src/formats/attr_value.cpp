// AttrValue: decoded when asked. See graphdef.h.
#include "base/error.h"
#include "formats/graphdef.h"
#include "formats/wire.h"

namespace midstream {
namespace {

using Kind = AttrValue::Kind;

// Field of tensorflow.AttrValue per kind.
Kind kind_of(uint32_t field) {
  switch (field) {
    case 1: return Kind::List;
    case 2: return Kind::S;
    case 3: return Kind::I;
    case 4: return Kind::F;
    case 5: return Kind::B;
    case 6: return Kind::Type;
    case 7: return Kind::Shape;
    case 8: return Kind::Tensor;
    case 9: return Kind::Placeholder;
    case 10: return Kind::Func;
    default: return Kind::None;
  }
}

const char* name_of(Kind kind) {
  constexpr const char* kNames[] = {"nothing", "a string", "an integer", "a float", "a boolean",    "a type",
                                    "a shape", "a tensor", "a function", "a list",  "a placeholder"};
  return kNames[static_cast<int>(kind)];
}

// The members of a oneof: the last one that is present counts, as in protobuf.
template <class T, class F>
T take(const AttrValue& value, Kind kind, const F& read) {
  if (value.kind() != kind)
    throw Error(ErrorKind::Mismatch, value.where,
                "is " + std::string(name_of(value.kind())) + ", where " + name_of(kind) + " is needed.");
  T out{};
  Wire w(value.raw, value.where);
  while (w.next()) {
    if (kind_of(w.field()) == kind)
      out = read(w);
    else
      w.skip();
  }
  return out;
}

FuncRef read_func(Wire w, const std::string& where) {
  FuncRef out;
  while (w.next()) {
    if (w.field() == 1) {
      out.name = w.text();
    } else if (w.field() == 2) {
      WireEntry entry = map_entry(w);
      out.attrs.insert_or_assign(std::string(entry.key.text()), AttrValue{std::move(entry.value), where});
    } else {
      w.skip();
    }
  }
  return out;
}

// Calls read(list) at each occurrence of one field of the list; other fields that hold something are a mismatch.
template <class F>
void each(const AttrValue& value, uint32_t field, const F& read) {
  if (value.kind() == Kind::None) return;
  if (value.kind() != Kind::List)
    throw Error(ErrorKind::Mismatch, value.where,
                "is " + std::string(name_of(value.kind())) + ", where a list is needed.");
  Wire w(value.raw, value.where);
  while (w.next()) {
    if (w.field() != 1) {
      w.skip();
      continue;
    }
    Wire list = w.message();
    while (list.next()) {
      if (list.field() == field)
        read(list);
      else if (list.field() >= 2 && list.field() <= 9)
        throw Error(ErrorKind::Mismatch, value.where, "is a list of another kind than was asked for.");
      else
        list.skip();
    }
  }
}

template <class T, class F>
std::string joined(const std::vector<T>& items, const F& show) {
  std::string out = "[";
  for (size_t i = 0; i < items.size(); ++i) out += (i ? ", " : "") + show(items[i]);
  return out + "]";
}

std::string shape_text(const TfShape& shape) { return shape ? to_string(*shape) : "[...]"; }
std::string quoted(const std::string& s) { return "\"" + s + "\""; }

uint32_t list_field(const AttrValue& value) {
  Wire w(value.raw, value.where);
  while (w.next()) {
    if (w.field() != 1) {
      w.skip();
      continue;
    }
    Wire list = w.message();
    if (list.next()) return list.field();
  }
  return 0;
}

std::string list_text(const AttrValue& value) {
  switch (list_field(value)) {
    case 0: return "[]";
    case 2: return joined(value.strings(), quoted);
    case 3: return joined(value.ints(), [](int64_t i) { return std::to_string(i); });
    case 4: return joined(value.floats(), [](float f) { return std::to_string(f); });
    case 5: return joined(value.bools(), [](bool b) { return std::string(b ? "true" : "false"); });
    case 6: return joined(value.types(), [](TfType t) { return to_string(t); });
    case 7: return joined(value.shapes(), shape_text);
    case 8: return "[tensors]";
    case 9: return joined(value.funcs(), [](const FuncRef& f) { return "@" + f.name; });
    default: return "[?]";
  }
}

}  // namespace

AttrValue::Kind AttrValue::kind() const {
  Kind out = Kind::None;
  Wire w(raw, where);
  while (w.next()) {
    Kind kind = kind_of(w.field());
    if (kind != Kind::None) out = kind;
    w.skip();
  }
  return out;
}

std::string AttrValue::s() const {
  return take<std::string>(*this, Kind::S, [](Wire& w) { return w.text(); });
}
int64_t AttrValue::i() const {
  return take<int64_t>(*this, Kind::I, [](Wire& w) { return w.integer(); });
}
float AttrValue::f() const {
  return take<float>(*this, Kind::F, [](Wire& w) { return w.f32(); });
}
bool AttrValue::b() const {
  return take<bool>(*this, Kind::B, [](Wire& w) { return w.boolean(); });
}
TfType AttrValue::type() const {
  return take<TfType>(*this, Kind::Type, [](Wire& w) { return static_cast<TfType>(w.integer()); });
}
TfShape AttrValue::shape() const {
  return take<TfShape>(*this, Kind::Shape, [&](Wire& w) { return parse_shape(where, w.bytes()); });
}
Array AttrValue::tensor() const {
  return take<Array>(*this, Kind::Tensor, [&](Wire& w) { return parse_tensor(where, w.bytes()); });
}
FuncRef AttrValue::func() const {
  return take<FuncRef>(*this, Kind::Func, [&](Wire& w) { return read_func(w.message(), where); });
}
std::string AttrValue::placeholder() const {
  return take<std::string>(*this, Kind::Placeholder, [](Wire& w) { return w.text(); });
}

std::vector<std::string> AttrValue::strings() const {
  std::vector<std::string> out;
  each(*this, 2, [&](Wire& w) { out.push_back(w.text()); });
  return out;
}
std::vector<int64_t> AttrValue::ints() const {
  std::vector<int64_t> out;
  each(*this, 3, [&](Wire& w) { w.integers(out); });
  return out;
}
std::vector<float> AttrValue::floats() const {
  std::vector<float> out;
  each(*this, 4, [&](Wire& w) { w.floats(out); });
  return out;
}
std::vector<bool> AttrValue::bools() const {
  std::vector<uint64_t> numbers;
  each(*this, 5, [&](Wire& w) { w.integers(numbers); });
  return {numbers.begin(), numbers.end()};
}
std::vector<TfType> AttrValue::types() const {
  std::vector<int32_t> numbers;
  each(*this, 6, [&](Wire& w) { w.integers(numbers); });
  std::vector<TfType> out;
  for (int32_t n : numbers) out.push_back(static_cast<TfType>(n));
  return out;
}
std::vector<TfShape> AttrValue::shapes() const {
  std::vector<TfShape> out;
  each(*this, 7, [&](Wire& w) { out.push_back(parse_shape(where, w.bytes())); });
  return out;
}
std::vector<Array> AttrValue::tensors() const {
  std::vector<Array> out;
  each(*this, 8, [&](Wire& w) { out.push_back(parse_tensor(where, w.bytes())); });
  return out;
}
std::vector<FuncRef> AttrValue::funcs() const {
  std::vector<FuncRef> out;
  each(*this, 9, [&](Wire& w) { out.push_back(read_func(w.message(), where)); });
  return out;
}

std::string AttrValue::text() const {
  switch (kind()) {
    case Kind::None: return "";
    case Kind::S: return quoted(s());
    case Kind::I: return std::to_string(i());
    case Kind::F: return std::to_string(f());
    case Kind::B: return b() ? "true" : "false";
    case Kind::Type: return to_string(type());
    case Kind::Shape: return shape_text(shape());
    case Kind::Tensor: {
      Array t = tensor();
      return "<" + std::string(to_string(t.dtype())) + " " + to_string(t.shape()) + ">";
    }
    case Kind::Func: return "@" + func().name;
    case Kind::List: return list_text(*this);
    case Kind::Placeholder: return "$" + placeholder();
  }
  return "";
}

}  // namespace midstream
