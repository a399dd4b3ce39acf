// A frozen graph with new values for some of its constants: the message is copied field by field, and only the NodeDefs
// whose value changes are written anew. (graph.proto: GraphDef.node = 1, NodeDef.name = 1, NodeDef.attr = 5 with key =
// 1 and value = 2, AttrValue.tensor = 8, TensorProto.dtype = 1, tensor_shape = 2, tensor_content = 4.)
#include <map>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

#include "base/error.h"
#include "formats/graphdef.h"
#include "formats/mapped_file.h"
#include "writeback/container.h"
#include "writeback/read_back.h"

namespace midstream {
namespace {

using protozero::pbf_reader;
using protozero::pbf_writer;

// Copies the present field as it is.
void copy_field(pbf_reader& in, pbf_writer& out) {
  switch (in.wire_type()) {
    case protozero::pbf_wire_type::varint: out.add_uint64(in.tag(), in.get_uint64()); break;
    case protozero::pbf_wire_type::fixed64: out.add_fixed64(in.tag(), in.get_fixed64()); break;
    case protozero::pbf_wire_type::fixed32: out.add_fixed32(in.tag(), in.get_fixed32()); break;
    default: {
      auto view = in.get_view();
      out.add_bytes(in.tag(), view.data(), view.size());
    }
  }
}

std::string tensor_proto(const Array& array) {
  std::string text;
  pbf_writer out(text);
  out.add_int32(1, static_cast<int32_t>(to_tf_type(array.dtype())));
  std::string shape;
  pbf_writer shape_out(shape);
  for (int64_t d : array.shape()) {
    std::string dim;
    pbf_writer dim_out(dim);
    dim_out.add_int64(1, d);
    shape_out.add_message(2, dim);
  }
  out.add_message(2, shape);
  out.add_bytes(4, reinterpret_cast<const char*>(array.bytes()), array.nbytes());
  return text;
}

std::string with_value(protozero::data_view node, const Array& array) {
  std::string text;
  pbf_writer out(text);
  pbf_reader in(node);
  while (in.next()) {
    if (in.tag() != 5) {
      copy_field(in, out);
      continue;
    }
    auto entry = in.get_view();
    pbf_reader key(entry);
    bool is_value = key.next(1) && key.get_string() == "value";
    if (!is_value) {
      out.add_bytes(5, entry.data(), entry.size());
      continue;
    }
    std::string attr, changed;
    pbf_writer(attr).add_message(8, tensor_proto(array));
    pbf_writer entry_out(changed);
    entry_out.add_string(1, "value");
    entry_out.add_message(2, attr);
    out.add_message(5, changed);
  }
  return text;
}

}  // namespace

void write_frozen_graph(const std::string& source, const NamedArrays& arrays, const std::string& path) {
  std::map<std::string, const Array*> values;
  for (const auto& [name, array] : arrays) values[name] = &array;
  SharedBytes file = map_file(source);
  std::string text;
  text.reserve(file.size());
  try {
    pbf_writer out(text);
    pbf_reader in(reinterpret_cast<const char*>(file.data()), file.size());
    while (in.next()) {
      if (in.tag() != 1) {
        copy_field(in, out);
        continue;
      }
      auto node = in.get_view();
      pbf_reader name(node);
      auto value = name.next(1) ? values.find(name.get_string()) : values.end();
      if (value == values.end())
        out.add_bytes(1, node.data(), node.size());
      else
        out.add_message(1, with_value(node, *value->second));
    }
  } catch (const protozero::exception&) {
    throw Error(ErrorKind::BadFile, source, "is no GraphDef.");
  }
  atomic_write(path, as_bytes(text), [&](const std::string& written) { expect_in_graph(written, arrays); });
}

}  // namespace midstream
