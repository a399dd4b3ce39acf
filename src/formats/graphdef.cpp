#include "formats/graphdef.h"

#include "base/error.h"
#include "formats/wire.h"

namespace midstream {
namespace {

void read_attr(Wire& field, Attrs& attrs, const std::string& where) {
  WireEntry entry = map_entry(field);
  std::string key(entry.key.text());
  std::string place = where + ", attribute " + key;
  attrs.insert_or_assign(std::move(key), AttrValue{std::move(entry.value), std::move(place)});
}

ArgDef read_arg(Wire arg) {
  ArgDef out;
  while (arg.next()) switch (arg.field()) {
      case 1: out.name = arg.text(); break;
      case 3: out.type = static_cast<TfType>(arg.integer()); break;
      case 4: out.type_attr = arg.text(); break;
      case 5: out.number_attr = arg.text(); break;
      case 6: out.type_list_attr = arg.text(); break;
      case 16: out.is_ref = arg.boolean(); break;
      default: arg.skip();
    }
  return out;
}

void read_signature(Wire op, FunctionDef& f) {
  while (op.next()) switch (op.field()) {
      case 1: f.name = op.text(); break;
      case 2: f.inputs.push_back(read_arg(op.message())); break;
      case 3: f.outputs.push_back(read_arg(op.message())); break;
      case 17: f.is_stateful = op.boolean(); break;
      case 20: f.control_outputs.push_back(op.text()); break;
      default: op.skip();
    }
}

// map<uint32, X>: the value is handed on as a Wire or number.
template <class Value>
void numbered_entry(Wire entry, const Value& value) {
  uint32_t key = 0;
  std::optional<Wire> message;
  std::optional<uint32_t> number;
  while (entry.next()) {
    if (entry.field() == 1)
      key = static_cast<uint32_t>(entry.integer());
    else if (entry.field() != 2)
      entry.skip();
    else if constexpr (std::is_invocable_v<Value, uint32_t, Wire>)
      message.emplace(entry.message());
    else
      number = static_cast<uint32_t>(entry.integer());
  }
  if constexpr (std::is_invocable_v<Value, uint32_t, Wire>) {
    if (message) value(key, *message);
  } else {
    value(key, number.value_or(0));
  }
}

FunctionDef read_function(const std::string& name, const SharedBytes& message) {
  FunctionDef f;
  {
    // The name first: messages about everything else need it.
    Wire w(message, name);
    while (w.next()) w.field() == 1 ? read_signature(w.message(), f) : w.skip();
  }
  std::string where = name + ": function " + f.name;
  Wire w(message, where);
  while (w.next()) switch (w.field()) {
      case 3: f.nodes.push_back(parse_nodedef(where, w.bytes())); break;
      case 4: {
        WireEntry e = map_entry(w);
        f.ret.insert_or_assign(std::string(e.key.text()), std::string(e.value.text()));
        break;
      }
      case 5: read_attr(w, f.attrs, where); break;
      case 6: {
        WireEntry e = map_entry(w);
        f.control_ret.insert_or_assign(std::string(e.key.text()), std::string(e.value.text()));
        break;
      }
      case 7:
        numbered_entry(w.message(), [&](uint32_t index, Wire attrs) {
          while (attrs.next()) attrs.field() == 1 ? read_attr(attrs, f.arg_attrs[index], where) : attrs.skip();
        });
        break;
      case 8:
        numbered_entry(w.message(), [&](uint32_t arg, uint32_t id) { f.resource_arg_unique_id[arg] = id; });
        break;
      default: w.skip();
    }
  return f;
}

void read_library(const std::string& name, Wire library, GraphDef& graph) {
  while (library.next()) {
    if (library.field() == 1) {
      graph.functions.push_back(read_function(name, library.bytes()));
    } else if (library.field() == 2) {
      WireEntry e = map_entry(library);  // GradientDef has the shape of one: function_name = 1, gradient_func = 2
      graph.gradients.insert_or_assign(std::string(e.key.text()), std::string(e.value.text()));
    } else {
      library.skip();
    }
  }
}

}  // namespace

const AttrValue& NodeDef::attr(std::string_view key) const {
  auto found = attrs.find(key);
  if (found == attrs.end()) throw Error(ErrorKind::BadFile, name, op + " has no attribute '" + std::string(key) + "'.");
  return found->second;
}

const NodeDef* GraphDef::find(std::string_view node) const {
  for (const NodeDef& n : nodes)
    if (n.name == node) return &n;
  return nullptr;
}

const FunctionDef* GraphDef::find_function(std::string_view name) const {
  for (const FunctionDef& f : functions)
    if (f.name == name) return &f;
  return nullptr;
}

NodeDef parse_nodedef(const std::string& name, const SharedBytes& message) {
  NodeDef node;
  Wire w(message, name);
  // Attributes come after the name in what TensorFlow writes, but a protobuf's fields may come in any order.
  std::vector<WireEntry> attrs;
  while (w.next()) switch (w.field()) {
      case 1: node.name = w.text(); break;
      case 2: node.op = w.text(); break;
      case 3: node.inputs.push_back(w.text()); break;
      case 4: node.device = w.text(); break;
      case 5: attrs.push_back(map_entry(w)); break;
      default: w.skip();
    }
  for (WireEntry& e : attrs) {
    std::string key(e.key.text());
    std::string where = name + ": " + node.name + ", attribute " + key;
    node.attrs.insert_or_assign(std::move(key), AttrValue{std::move(e.value), std::move(where)});
  }
  return node;
}

GraphDef parse_graphdef(const std::string& name, const SharedBytes& message) {
  GraphDef graph;
  Wire w(message, name);
  while (w.next()) switch (w.field()) {
      case 1: graph.nodes.push_back(parse_nodedef(name, w.bytes())); break;
      case 2: read_library(name, w.message(), graph); break;
      case 3: graph.producer = static_cast<int>(w.integer()); break;  // the deprecated `version`
      case 4: {
        Wire versions = w.message();
        while (versions.next()) switch (versions.field()) {
            case 1: graph.producer = static_cast<int>(versions.integer()); break;
            case 2: graph.min_consumer = static_cast<int>(versions.integer()); break;
            case 3: versions.integers(graph.bad_consumers); break;
            default: versions.skip();
          }
        break;
      }
      default: w.skip();
    }
  return graph;
}

GraphDef read_graphdef(const std::string& path) {
  GraphDef graph = parse_graphdef(path, map_file(path));
  if (graph.nodes.empty() && graph.functions.empty())
    throw Error(ErrorKind::BadFile, path, "is not a GraphDef: it holds no node.");
  return graph;
}

}  // namespace midstream
