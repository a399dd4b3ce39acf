// Damaged files: whatever bytes are cut off or changed, reading ends in an Error or in some value, never in a crash.
// Build with MIDSTREAM_SANITIZE to see more. Seeds are fixed: a failure repeats.
#include <functional>
#include <random>

#include "expected.h"
#include "formats/hdf5.h"
#include "formats/leveldb_table.h"
#include "formats/npz.h"
#include "formats/safetensors.h"
#include "formats/saved_model.h"
#include "formats/zip.h"

namespace midstream {
namespace {

using namespace test;
using Reader = std::function<void(const SharedBytes&)>;

void use(const Array& array) {
  unsigned sum = 0;
  if (array.dtype() == DType::String)
    for (const std::string& s : array.strings()) sum += static_cast<unsigned>(s.size());
  else
    for (size_t i = 0; i < array.nbytes(); ++i) sum += static_cast<unsigned>(array.bytes()[i]);
  volatile unsigned sink = sum;
  (void)sink;
}

void read_attrs(const Attrs& attrs) {
  for (const auto& [key, value] : attrs) {
    value.text();
    if (value.kind() == AttrValue::Kind::Tensor) use(value.tensor());
  }
}

void read_graph(const GraphDef& graph) {
  for (const NodeDef& n : graph.nodes) read_attrs(n.attrs);
  for (const FunctionDef& f : graph.functions)
    for (const NodeDef& n : f.nodes) read_attrs(n.attrs);
}

void mutate(const std::string& file, int rounds, const Reader& read) {
  SCOPED_TRACE(file);
  std::string good = file_text(kData + file);
  std::mt19937 random(7);
  for (int round = 0; round < rounds; ++round) {
    std::string bytes = good;
    if (round % 3 == 0) {
      bytes.resize(random() % bytes.size());
    } else {
      // Half of the changes near the start or the end, where headers are.
      size_t reach = random() % 2 ? bytes.size() : std::min<size_t>(bytes.size(), 512);
      for (unsigned k = 0; k < (round % 3 == 1 ? 1 : 1 + random() % 8); ++k) {
        size_t at = random() % reach;
        if (random() % 2) at = bytes.size() - 1 - at;
        bytes[at] = static_cast<char>(random() % 4 ? random() : 0xff);
      }
    }
    try {
      read(share(std::move(bytes)));
    } catch (const Error& e) {
      EXPECT_TRUE(e.kind() == ErrorKind::BadFile || e.kind() == ErrorKind::Unsupported ||
                  e.kind() == ErrorKind::Mismatch)
          << e.what();
    }
  }
}

TEST(Mutation, Zip) {
  for (const char* file : {"plain.zip", "streamed.zip"})
    mutate(file, 3000, [](const SharedBytes& bytes) {
      ZipFile zip("z", bytes);
      for (const ZipMember& m : zip.members()) zip.verify(m.name);
    });
}

TEST(Mutation, Npz) {
  for (const char* file : {"stored.npz", "compressed.npz"})
    mutate(file, 3000, [](const SharedBytes& bytes) {
      NpzFile npz("z", bytes);
      for (const std::string& name : npz.names()) use(npz.read(name));
    });
}

TEST(Mutation, Safetensors) {
  mutate("types.safetensors", 3000, [](const SharedBytes& bytes) {
    SafetensorsFile file("s", bytes);
    for (const auto& [name, entry] : file.entries()) use(file.read(name));
  });
}

TEST(Mutation, GraphDef) {
  mutate("graph.pb", 3000, [](const SharedBytes& bytes) { read_graph(parse_graphdef("g", bytes)); });
}

TEST(Mutation, SavedModel) {
  mutate("saved_model/saved_model.pb", 2000, [](const SharedBytes& bytes) {
    for (const MetaGraphDef& meta : parse_saved_model("s", bytes).meta_graphs) read_graph(meta.graph);
  });
  mutate("checkpoints/graph.meta", 1000, [](const SharedBytes& bytes) {
    MetaGraphDef meta = parse_meta_graph("m", bytes);
    read_graph(meta.graph);
    meta.variables("variables");
  });
  mutate("keras_metadata.pb", 500, [](const SharedBytes& bytes) { parse_keras_metadata("k", bytes); });
}

// What the probe lets through is read without a crash; libhdf5 alone crashes on some of these files.
TEST(Mutation, Hdf5) {
  mutate("types.h5", 300, [](const SharedBytes& bytes) {
    H5File h5("h", bytes);
    h5.probe();
    for (const std::string& object : h5.all_datasets())
      if (h5.info(object).dtype) use(h5.read(object));
    for (const std::string& name : h5.attribute_names()) use(h5.attribute("/", name).value());
  });
}

TEST(Mutation, LeveldbTable) {
  for (const char* file : {"checkpoints/named.index", "checkpoints/v1.ckpt"})
    mutate(file, 3000, [](const SharedBytes& bytes) {
      LeveldbTable("t", bytes).scan("", [](std::string_view, std::string_view) { return true; });
    });
}

}  // namespace
}  // namespace midstream
