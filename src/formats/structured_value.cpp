// tensorflow.StructuredValue. See saved_model.h.
#include "base/error.h"
#include "formats/saved_objects.h"

namespace midstream {
namespace {

using Kind = StructuredValue::Kind;

void read_tensor_spec(const std::string& name, Wire w, StructuredValue& out) {
  while (w.next()) switch (w.field()) {
      case 1: out.text = w.text(); break;
      case 2: out.shape = parse_shape(name, w.bytes()); break;
      case 3: out.dtype = static_cast<TfType>(w.integer()); break;
      default: w.skip();  // bounds
    }
}

void read_type_spec(const std::string& name, Wire w, StructuredValue& out, int depth) {
  while (w.next()) switch (w.field()) {
      case 1: out.integer = w.integer(); break;  // type_spec_class
      case 2: out.items.push_back(read_structured_value(name, w.message(), depth + 1)); break;
      case 3: out.text = w.text(); break;
      default: w.skip();
    }
}

void read_pair(const std::string& name, Wire& field, StructuredValue& out, int depth) {
  WireEntry e = map_entry(field);
  out.fields.emplace_back(std::string(e.key.text()), read_structured_value(name, Wire(e.value, name), depth + 1));
}

}  // namespace

StructuredValue read_structured_value(const std::string& name, Wire w, int depth) {
  if (depth > kMaxDepth) w.bad();
  StructuredValue out;
  while (w.next()) {
    switch (w.field()) {
      case 1:
        out.kind = Kind::None;
        w.skip();
        break;
      case 11:
        out.kind = Kind::Float;
        out.number = w.f64();
        break;
      case 12:
        out.kind = Kind::Int;
        out.integer = w.zigzag();
        break;
      case 13:
        out.kind = Kind::String;
        out.text = w.text();
        break;
      case 14:
        out.kind = Kind::Bool;
        out.integer = w.boolean();
        break;
      case 31:
        out.kind = Kind::Shape;
        out.shape = parse_shape(name, w.bytes());
        break;
      case 32:
        out.kind = Kind::DType;
        out.dtype = static_cast<TfType>(w.integer());
        break;
      case 33:
        out.kind = Kind::TensorSpec;
        read_tensor_spec(name, w.message(), out);
        break;
      case 34:
        out.kind = Kind::TypeSpec;
        read_type_spec(name, w.message(), out, depth);
        break;
      case 35:
        out.kind = Kind::BoundedTensorSpec;
        read_tensor_spec(name, w.message(), out);
        break;
      case 51:
      case 52: {
        out.kind = w.field() == 51 ? Kind::List : Kind::Tuple;
        Wire list = w.message();
        while (list.next()) {
          if (list.field() == 1)
            out.items.push_back(read_structured_value(name, list.message(), depth + 1));
          else
            list.skip();
        }
        break;
      }
      case 53: {
        out.kind = Kind::Dict;
        Wire dict = w.message();
        while (dict.next()) dict.field() == 1 ? read_pair(name, dict, out, depth) : dict.skip();
        break;
      }
      case 54: {
        out.kind = Kind::NamedTuple;
        Wire tuple = w.message();
        while (tuple.next()) switch (tuple.field()) {
            case 1: out.text = tuple.text(); break;
            case 2: read_pair(name, tuple, out, depth); break;
            default: tuple.skip();
          }
        break;
      }
      case 55:
        out.kind = Kind::TensorValue;
        w.skip();
        break;
      case 56:
        out.kind = Kind::NumpyValue;
        w.skip();
        break;
      default: w.skip();
    }
  }
  return out;
}

}  // namespace midstream
