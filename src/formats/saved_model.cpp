#include "formats/saved_model.h"

#include <filesystem>

#include "base/error.h"
#include "formats/saved_objects.h"

namespace midstream {
namespace {

SaverDef read_saver(Wire w) {
  SaverDef out;
  while (w.next()) switch (w.field()) {
      case 1: out.filename_tensor_name = w.text(); break;
      case 2: out.save_tensor_name = w.text(); break;
      case 3: out.restore_op_name = w.text(); break;
      case 5: out.sharded = w.boolean(); break;
      case 7: out.version = static_cast<int>(w.integer()); break;
      default: w.skip();
    }
  return out;
}

TensorInfo read_tensor_info(const std::string& name, Wire w, int depth = 0) {
  if (depth > kMaxDepth) w.bad();
  TensorInfo out;
  while (w.next()) switch (w.field()) {
      case 1: out.name = w.text(); break;
      case 2: out.dtype = static_cast<TfType>(w.integer()); break;
      case 3: out.shape = parse_shape(name, w.bytes()); break;
      case 4: {
        Wire sparse = w.message();
        out.sparse.resize(3);  // values, indices, dense shape
        while (sparse.next()) {
          if (sparse.field() >= 1 && sparse.field() <= 3)
            out.sparse[sparse.field() - 1] = sparse.text();
          else
            sparse.skip();
        }
        break;
      }
      case 5: {
        Wire composite = w.message();
        while (composite.next()) {
          if (composite.field() == 2)
            out.components.push_back(read_tensor_info(name, composite.message(), depth + 1));
          else
            composite.skip();
        }
        break;
      }
      default: w.skip();
    }
  return out;
}

void read_tensor_infos(const std::string& name, Wire& field, std::map<std::string, TensorInfo>& out) {
  WireEntry e = map_entry(field);
  out.insert_or_assign(std::string(e.key.text()), read_tensor_info(name, Wire(e.value, name)));
}

SignatureDef read_signature(const std::string& name, Wire w) {
  SignatureDef out;
  while (w.next()) switch (w.field()) {
      case 1: read_tensor_infos(name, w, out.inputs); break;
      case 2: read_tensor_infos(name, w, out.outputs); break;
      case 3: out.method_name = w.text(); break;
      default: w.skip();
    }
  return out;
}

// Node lists and byte lists: what TF1 keeps names and serialized protos in. Numbers and Any's are nothing we use.
std::vector<std::string> read_collection(Wire w) {
  std::vector<std::string> out;
  while (w.next()) {
    if (w.field() != 1 && w.field() != 2) {
      w.skip();
      continue;
    }
    Wire list = w.message();
    while (list.next()) list.field() == 1 ? out.push_back(list.text()) : list.skip();
  }
  return out;
}

AssetFileDef read_asset(const std::string& name, Wire w) {
  AssetFileDef out;
  while (w.next()) switch (w.field()) {
      case 1: out.tensor_name = read_tensor_info(name, w.message()).name; break;
      case 2: out.filename = w.text(); break;
      default: w.skip();
    }
  return out;
}

VariableDef read_variable(const std::string& where, const std::string& serialized) {
  VariableDef out;
  Wire w(share(serialized), where);
  while (w.next()) switch (w.field()) {
      case 1: out.variable_name = w.text(); break;
      case 2: out.initializer_name = w.text(); break;
      case 3: out.snapshot_name = w.text(); break;
      case 4: {
        Wire slice = w.message();
        while (slice.next()) switch (slice.field()) {
            case 1: out.full_name = slice.text(); break;
            case 2: slice.integers(out.full_shape); break;
            case 3: slice.integers(out.var_offset); break;
            case 4: slice.integers(out.var_shape); break;
            default: slice.skip();
          }
        break;
      }
      case 5: out.is_resource = w.boolean(); break;
      case 6: out.initial_value_name = w.text(); break;
      case 7: out.trainable = w.boolean(); break;
      default: w.skip();
    }
  return out;
}

}  // namespace

bool MetaGraphDef::has_tag(std::string_view tag) const {
  for (const std::string& t : tags)
    if (t == tag) return true;
  return false;
}

std::vector<VariableDef> MetaGraphDef::variables(const std::string& collection) const {
  std::vector<VariableDef> out;
  auto found = collections.find(collection);
  if (found == collections.end()) return out;
  for (const std::string& serialized : found->second)
    out.push_back(read_variable("collection " + collection, serialized));
  return out;
}

MetaGraphDef parse_meta_graph(const std::string& name, const SharedBytes& message) {
  MetaGraphDef out;
  Wire w(message, name);
  while (w.next()) switch (w.field()) {
      case 1: {
        Wire info = w.message();
        while (info.next()) switch (info.field()) {
            case 4: out.tags.push_back(info.text()); break;
            case 5: out.tensorflow_version = info.text(); break;
            default: info.skip();
          }
        break;
      }
      case 2: out.graph = parse_graphdef(name, w.bytes()); break;
      case 3: out.saver = read_saver(w.message()); break;
      case 4: {
        WireEntry e = map_entry(w);
        out.collections.insert_or_assign(std::string(e.key.text()), read_collection(Wire(e.value, name)));
        break;
      }
      case 5: {
        WireEntry e = map_entry(w);
        out.signatures.insert_or_assign(std::string(e.key.text()), read_signature(name, Wire(e.value, name)));
        break;
      }
      case 6: out.assets.push_back(read_asset(name, w.message())); break;
      case 7: out.objects = read_saved_object_graph(name, w.message()); break;
      default: w.skip();
    }
  return out;
}

SavedModel parse_saved_model(const std::string& name, const SharedBytes& message) {
  SavedModel out;
  Wire w(message, name);
  while (w.next()) switch (w.field()) {
      case 1: out.schema_version = w.integer(); break;
      case 2: out.meta_graphs.push_back(parse_meta_graph(name, w.bytes())); break;
      default: w.skip();
    }
  if (out.meta_graphs.empty()) throw Error(ErrorKind::BadFile, name, "is not a SavedModel: it holds no graph.");
  return out;
}

SavedModel read_saved_model(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  fs::path file = path;
  if (fs::is_directory(file, ignored)) file /= "saved_model.pb";
  if (!fs::exists(file, ignored)) {
    fs::path chunked = fs::path(file).replace_extension(".cpb"), text = fs::path(file).replace_extension(".pbtxt");
    for (const fs::path& other : {chunked, text})
      if (fs::exists(other, ignored))
        throw Error(ErrorKind::Unsupported, other.string(), "this form of a SavedModel is not read.",
                    "Save it again as saved_model.pb.");
  }
  return parse_saved_model(file.string(), map_file(file.string()));
}

MetaGraphDef read_meta_graph(const std::string& path) {
  MetaGraphDef out = parse_meta_graph(path, map_file(path));
  if (out.graph.nodes.empty()) throw Error(ErrorKind::BadFile, path, "is not a MetaGraphDef: it holds no graph.");
  return out;
}

std::vector<KerasMetadata> parse_keras_metadata(const std::string& name, const SharedBytes& message) {
  std::vector<KerasMetadata> out;
  Wire w(message, name);
  while (w.next()) {
    if (w.field() != 1) {
      w.skip();
      continue;
    }
    KerasMetadata node;
    Wire n = w.message();
    while (n.next()) switch (n.field()) {
        case 2: node.node_id = static_cast<int>(n.integer()); break;
        case 3: node.node_path = n.text(); break;
        case 4: node.identifier = n.text(); break;
        case 5: node.metadata = n.text(); break;
        default: n.skip();
      }
    out.push_back(std::move(node));
  }
  return out;
}

std::vector<KerasMetadata> read_keras_metadata(const std::string& path) {
  return parse_keras_metadata(path, map_file(path));
}

}  // namespace midstream
