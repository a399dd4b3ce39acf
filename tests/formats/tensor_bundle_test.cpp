#include "formats/tensor_bundle.h"

#include "expected.h"
#include "formats/bundle_format.h"
#include "formats/saved_model.h"

namespace midstream {
namespace {

using namespace test;

const std::string kFolder = kData + "checkpoints/";

void expect_checkpoint(const TensorBundle& bundle, const std::string& name) {
  const auto& wanted = expected("checkpoints").at(name);
  size_t extra = bundle.contains(kObjectGraphKey) ? 1 : 0;
  EXPECT_EQ(bundle.keys().size(), wanted.size() + extra);
  for (const auto& [key, value] : wanted.items()) {
    expect_equal(bundle.read(key), value, name + ": " + key);
    EXPECT_EQ(bundle.entries().find(key)->second.shape, value.at("shape").get<Dims>());
  }
  bundle.verify();
}

TEST(TensorBundle, ReadsV2) {
  expect_checkpoint(TensorBundle::open(kFolder + "objects"), "objects");
  expect_checkpoint(TensorBundle::open(kFolder + "named.index"), "named");
  EXPECT_EQ(TensorBundle::open(kFolder + "named.data-00000-of-00001").version(), 2);
}

TEST(TensorBundle, ReadsV1) {
  TensorBundle bundle = TensorBundle::open(kFolder + "v1.ckpt");
  EXPECT_EQ(bundle.version(), 1);
  expect_checkpoint(bundle, "v1.ckpt");
}

TEST(TensorBundle, ReadsPartitionedTensorsAsOne) {
  TensorBundle bundle = TensorBundle::open(kFolder + "named");
  EXPECT_EQ(bundle.entries().at("parts").slices.size(), 3u);
  EXPECT_EQ(bundle.read("parts").shape(), (Dims{7, 3}));
  EXPECT_EQ(bundle.read("columns").shape(), (Dims{2, 200}));
}

TEST(TensorBundle, DoesNotCopy) {
  TensorBundle bundle = TensorBundle::open(kFolder + "named");
  EXPECT_EQ(bundle.read("float32").owner(), bundle.read("float64").owner());
}

TEST(TensorBundle, Exists) {
  EXPECT_TRUE(TensorBundle::exists(kFolder + "named"));
  EXPECT_TRUE(TensorBundle::exists(kFolder + "v1.ckpt"));
  EXPECT_FALSE(TensorBundle::exists(kFolder + "graph.meta"));
  EXPECT_FALSE(TensorBundle::exists(kFolder + "absent"));
  error_of(ErrorKind::BadFile, [] { TensorBundle::open(kFolder + "absent"); });
  error_of(ErrorKind::BadFile, [] { TensorBundle::open(kFolder + "named").read("absent"); });
}

TEST(TensorBundle, WritesAsTensorFlowDoes) {
  TemporaryFolder folder;
  TensorBundle source = TensorBundle::open(kFolder + "named");
  NamedArrays tensors;
  for (const std::string& key : source.keys()) tensors.emplace_back(key, source.read(key));
  write_bundle(folder / "new", tensors);
  expect_checkpoint(TensorBundle::open(folder / "new"), "named");

  // The checksums are TensorFlow's own.
  TensorBundle objects = TensorBundle::open(kFolder + "objects");
  tensors.clear();
  for (const std::string& key : objects.keys()) tensors.emplace_back(key, objects.read(key));
  write_bundle(folder / "objects", tensors);
  expect_checkpoint(TensorBundle::open(folder / "objects"), "objects");
  TensorBundle written = TensorBundle::open(folder / "objects");
  for (const auto& [key, entry] : written.entries())
    EXPECT_EQ(entry.crc, objects.entries().find(key)->second.crc) << key;
}

TEST(TensorBundle, EntriesAreSerializedAsTensorFlowDoes) {
  for (const char* name : {"objects.index", "named.index"})
    LeveldbTable(name, map_file(kFolder + name)).scan("", [](std::string_view key, std::string_view value) {
      if (!key.empty()) {
        EXPECT_EQ(serialize(parse_bundle_entry("", share(std::string(value)))), value) << key;
      }
      return true;
    });
  EXPECT_EQ(parse_bundle_entry("", share(serialize({.dtype = TfType::Float, .shape = {0, 4}}))).shape, (Dims{0, 4}));
}

TEST(TensorBundle, EditKeepsTheRest) {
  TemporaryFolder folder;
  TensorBundle source = TensorBundle::open(kFolder + "named");
  auto zeros = [&](const char* key) {
    std::byte* unused = nullptr;
    return Array::allocate(source.read(key).dtype(), source.read(key).shape(), &unused);
  };
  BundleEdit edit(source);
  edit.set("float32", zeros("float32"));
  edit.set("columns", zeros("columns"));
  edit.set("text0", Array::of_strings({3}, {"much longer than it was", "b", "c"}));
  error_of(ErrorKind::Mismatch, [&] { edit.set("float32", zeros("float64")); });
  error_of(ErrorKind::BadFile, [&] { edit.set("absent", zeros("float64")); });
  edit.write(folder / "edited");
  TensorBundle edited = TensorBundle::open(folder / "edited");
  edited.verify();
  for (const auto& [key, value] : expected("checkpoints").at("named").items()) {
    if (key == "float32" || key == "columns")
      EXPECT_EQ(edited.read(key).to_double(), zeros(key.c_str()).to_double());
    else if (key == "text0")
      EXPECT_EQ(edited.read(key).strings()[0], "much longer than it was");
    else
      expect_equal(edited.read(key), value, key);
  }
}

TEST(TensorBundle, EditWithoutChangesIsTheSameFile) {
  TemporaryFolder folder;
  for (const char* name : {"objects", "named"}) {
    BundleEdit(TensorBundle::open(kFolder + name)).write(folder / name);
    for (const char* end : {".index", ".data-00000-of-00001"})
      EXPECT_EQ(file_text(folder / name + end), file_text(kFolder + name + end)) << name << end;
  }
}

TEST(TensorBundle, FindsDamage) {
  TemporaryFolder folder;
  std::string index = file_text(kFolder + "named.index"), data = file_text(kFolder + "named.data-00000-of-00001");
  uint64_t place = TensorBundle::open(kFolder + "named").entries().at("float32").range.offset;
  data[place] = static_cast<char>(data[place] ^ 1);
  atomic_write(folder / "a.index", as_bytes(index));
  std::string error = error_of(ErrorKind::BadFile, [&] { TensorBundle::open(folder / "a").read("float32"); });
  EXPECT_NE(error.find("is missing"), std::string::npos) << error;
  atomic_write(folder / "a.data-00000-of-00001", as_bytes(data));
  TensorBundle bundle = TensorBundle::open(folder / "a");
  bundle.read("float32");
  bundle.verify("float64");
  error = error_of(ErrorKind::BadFile, [&] { bundle.verify("float32"); });
  EXPECT_NE(error.find("checksum"), std::string::npos) << error;
  atomic_write(folder / "a.data-00000-of-00001", as_bytes(data.substr(0, 10)));
  error_of(ErrorKind::BadFile, [&] { TensorBundle::open(folder / "a").read("float64"); });
  index[10] = static_cast<char>(index[10] ^ 1);
  atomic_write(folder / "a.index", as_bytes(index));
  error_of(ErrorKind::BadFile, [&] { TensorBundle::open(folder / "a"); });
}

TEST(Crc32c, KnownValues) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283u);
  std::vector<std::byte> zeros(32);
  EXPECT_EQ(crc32c(zeros), 0x8a9136aau);
  EXPECT_EQ(crc32c(as_bytes("6789"), crc32c(as_bytes("12345"))), 0xe3069283u);
}

}  // namespace
}  // namespace midstream
