// The object graphs of SavedModels and of checkpoints. See saved_model.h.
#include "formats/saved_objects.h"

#include "base/error.h"

namespace midstream {
namespace {

ObjectChild read_child(Wire w) {
  ObjectChild out;
  while (w.next()) switch (w.field()) {
      case 1: out.node_id = static_cast<int>(w.integer()); break;
      case 2: out.local_name = w.text(); break;
      default: w.skip();
    }
  return out;
}

SlotVariable read_slot(Wire w) {
  SlotVariable out;
  while (w.next()) switch (w.field()) {
      case 1: out.original_variable_node_id = static_cast<int>(w.integer()); break;
      case 2: out.slot_name = w.text(); break;
      case 3: out.slot_variable_node_id = static_cast<int>(w.integer()); break;
      default: w.skip();
    }
  return out;
}

SavedUserObject read_user_object(Wire w) {
  SavedUserObject out;
  while (w.next()) switch (w.field()) {
      case 1: out.identifier = w.text(); break;
      case 3: out.metadata = w.text(); break;
      default: w.skip();
    }
  return out;
}

SavedFunction read_function(const std::string& name, Wire w) {
  SavedFunction out;
  while (w.next()) switch (w.field()) {
      case 1: out.concrete_functions.push_back(w.text()); break;
      case 2: {
        Wire spec = w.message();
        while (spec.next()) switch (spec.field()) {
            case 1: out.fullargspec = read_structured_value(name, spec.message()); break;
            case 2: out.is_method = spec.boolean(); break;
            case 5: out.input_signature = read_structured_value(name, spec.message()); break;
            default: spec.skip();
          }
        break;
      }
      default: w.skip();
    }
  return out;
}

SavedVariable read_variable(const std::string& name, Wire w) {
  SavedVariable out;
  while (w.next()) switch (w.field()) {
      case 1: out.dtype = static_cast<TfType>(w.integer()); break;
      case 2: out.shape = parse_shape(name, w.bytes()); break;
      case 3: out.trainable = w.boolean(); break;
      case 4: out.synchronization = static_cast<int>(w.integer()); break;
      case 5: out.aggregation = static_cast<int>(w.integer()); break;
      case 6: out.name = w.text(); break;
      case 7: out.device = w.text(); break;
      default: w.skip();
    }
  return out;
}

SavedBareConcreteFunction read_bare_function(Wire w) {
  SavedBareConcreteFunction out;
  while (w.next()) switch (w.field()) {
      case 1: out.concrete_function_name = w.text(); break;
      case 2: out.argument_keywords.push_back(w.text()); break;
      case 3: out.allowed_positional_arguments = w.integer(); break;
      default: w.skip();
    }
  return out;
}

SavedCapturedTensor read_captured(Wire w) {
  SavedCapturedTensor out;
  while (w.next()) switch (w.field()) {
      case 1: out.name = w.text(); break;
      case 2: out.concrete_function = w.text(); break;
      default: w.skip();
    }
  return out;
}

std::string first_text(Wire w) {
  std::string out;
  while (w.next()) {
    if (w.field() == 1)
      out = w.text();
    else
      w.skip();
  }
  return out;
}

int first_integer(Wire w) {
  int out = 0;
  while (w.next()) {
    if (w.field() == 1)
      out = static_cast<int>(w.integer());
    else
      w.skip();
  }
  return out;
}

std::pair<int, int> read_saveable(Wire w) {
  std::pair<int, int> out{};
  while (w.next()) switch (w.field()) {
      case 2: out.first = static_cast<int>(w.integer()); break;
      case 3: out.second = static_cast<int>(w.integer()); break;
      default: w.skip();
    }
  return out;
}

SavedObject read_object(const std::string& name, Wire w) {
  SavedObject out;
  while (w.next()) switch (w.field()) {
      case 1: out.children.push_back(read_child(w.message())); break;
      case 3: out.slot_variables.push_back(read_slot(w.message())); break;
      case 4: out.kind = read_user_object(w.message()); break;
      case 5: out.kind = SavedAsset{first_integer(w.message())}; break;
      case 6: out.kind = read_function(name, w.message()); break;
      case 7: out.kind = read_variable(name, w.message()); break;
      case 8: out.kind = read_bare_function(w.message()); break;
      case 9: out.kind = SavedConstant{first_text(w.message())}; break;
      case 10: out.kind = SavedResource{first_text(w.message())}; break;
      case 11: {
        WireEntry e = map_entry(w);
        out.saveable_objects.insert_or_assign(std::string(e.key.text()), read_saveable(Wire(e.value, name)));
        break;
      }
      case 12: out.kind = read_captured(w.message()); break;
      case 13: out.registered_name = w.text(); break;
      case 15: out.dependencies.push_back(read_child(w.message())); break;
      default: w.skip();
    }
  return out;
}

SavedConcreteFunction read_concrete_function(const std::string& name, Wire w) {
  SavedConcreteFunction out;
  while (w.next()) switch (w.field()) {
      case 2: w.integers(out.bound_inputs); break;
      case 3: out.canonicalized_input_signature = read_structured_value(name, w.message()); break;
      case 4: out.output_signature = read_structured_value(name, w.message()); break;
      default: w.skip();
    }
  return out;
}

// Every id must be a node: whoever walks the graph need not check again.
void check_id(const std::string& name, int id, size_t count) {
  if (id < 0 || static_cast<size_t>(id) >= count)
    throw Error(ErrorKind::BadFile, name,
                "its object graph refers to node " + std::to_string(id) + " of " + std::to_string(count) + ".",
                "The file is damaged.");
}

template <class Object>
void check_ids(const std::string& name, const std::vector<Object>& nodes) {
  for (const Object& node : nodes) {
    for (const ObjectChild& c : node.children) check_id(name, c.node_id, nodes.size());
    for (const SlotVariable& s : node.slot_variables) {
      check_id(name, s.original_variable_node_id, nodes.size());
      check_id(name, s.slot_variable_node_id, nodes.size());
    }
  }
}

template <class Object>
std::optional<int> child_of(const Object& node, std::string_view local_name) {
  for (const ObjectChild& c : node.children)
    if (c.local_name == local_name) return c.node_id;
  return std::nullopt;
}

template <class Object>
std::optional<int> find_path(const std::vector<Object>& nodes, const std::vector<std::string>& path) {
  if (nodes.empty()) return std::nullopt;
  int at = 0;
  for (const std::string& name : path) {
    auto next = nodes[static_cast<size_t>(at)].child(name);
    if (!next) return std::nullopt;
    at = *next;
  }
  return at;
}

TrackableObject read_trackable(Wire w) {
  TrackableObject out;
  while (w.next()) switch (w.field()) {
      case 1: out.children.push_back(read_child(w.message())); break;
      case 2: {
        TrackableObject::Attribute attribute;
        Wire a = w.message();
        while (a.next()) switch (a.field()) {
            case 1: attribute.name = a.text(); break;
            case 2: attribute.full_name = a.text(); break;
            case 3: attribute.checkpoint_key = a.text(); break;
            default: a.skip();
          }
        out.attributes.push_back(std::move(attribute));
        break;
      }
      case 3: out.slot_variables.push_back(read_slot(w.message())); break;
      case 4: {
        Wire saver = w.message();
        while (saver.next()) switch (saver.field()) {
            case 1: out.saver_name = saver.text(); break;
            case 2: out.saver_object_name = saver.text(); break;
            default: saver.skip();
          }
        break;
      }
      default: w.skip();
    }
  return out;
}

}  // namespace

std::optional<int> SavedObject::child(std::string_view local_name) const { return child_of(*this, local_name); }
std::optional<int> TrackableObject::child(std::string_view local_name) const { return child_of(*this, local_name); }
std::optional<int> SavedObjectGraph::find(const std::vector<std::string>& path) const { return find_path(nodes, path); }
std::optional<int> TrackableObjectGraph::find(const std::vector<std::string>& path) const {
  return find_path(nodes, path);
}

SavedObjectGraph read_saved_object_graph(const std::string& name, Wire w) {
  SavedObjectGraph out;
  while (w.next()) switch (w.field()) {
      case 1: out.nodes.push_back(read_object(name, w.message())); break;
      case 2: {
        WireEntry e = map_entry(w);
        out.concrete_functions.insert_or_assign(std::string(e.key.text()),
                                                read_concrete_function(name, Wire(e.value, name)));
        break;
      }
      default: w.skip();
    }
  check_ids(name, out.nodes);
  for (const auto& [function, f] : out.concrete_functions)
    for (int id : f.bound_inputs) check_id(name, id, out.nodes.size());
  return out;
}

TrackableObjectGraph parse_object_graph(const std::string& name, const SharedBytes& message) {
  TrackableObjectGraph out;
  Wire w(message, name);
  while (w.next()) {
    if (w.field() == 1)
      out.nodes.push_back(read_trackable(w.message()));
    else
      w.skip();
  }
  check_ids(name, out.nodes);
  return out;
}

}  // namespace midstream
