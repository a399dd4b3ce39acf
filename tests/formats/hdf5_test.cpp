#include "formats/hdf5.h"

#include <thread>

#include "expected.h"
#include "formats/zip.h"

namespace midstream {
namespace {

using namespace test;
using Names = std::vector<std::string>;

bool inside(const H5File& file, const Array& array) {
  return array.bytes() >= file.image().data() && array.bytes() < file.image().data() + file.image().size();
}

TEST(Hdf5, ReadsWhatH5pyWrote) {
  H5File file = H5File::open(kData + "types.h5");
  for (const auto& [path, wanted] : expected("types.h5").items()) {
    expect_equal(file.read(path), wanted, path);
    H5DatasetInfo info = file.info(path);
    EXPECT_EQ(info.shape, wanted.at("shape").get<Dims>()) << path;
    EXPECT_EQ(to_string(*info.dtype), wanted.at("dtype").get<std::string>()) << path;
  }
}

TEST(Hdf5, ContiguousDatasetsAreNotCopied) {
  H5File file = H5File::open(kData + "types.h5");
  for (const std::string& name : file.datasets("types")) {
    if (name == "empty") continue;
    Array array = file.read("types/" + name);
    auto place = file.location("/types/" + name);
    ASSERT_TRUE(place) << name;
    EXPECT_EQ(array.bytes(), file.image().data() + place->offset) << name;
    EXPECT_EQ(array.nbytes(), place->length) << name;
  }
  for (const std::string& name : file.datasets("layouts")) {
    EXPECT_FALSE(file.location("layouts/" + name)) << name;
    EXPECT_FALSE(inside(file, file.read("layouts/" + name))) << name;
  }
}

TEST(Hdf5, ArraysOutliveTheFile) {
  Array array;
  {
    H5File file = H5File::open(kData + "types.h5");
    array = file.read("types/float32");
  }
  expect_equal(array, expected("types.h5").at("/types/float32"), "float32");
}

TEST(Hdf5, ReadsAZipMemberInPlace) {
  ZipFile zip = ZipFile::open(kData + "model.keras");
  H5File file("model.keras: model.weights.h5", zip.read("model.weights.h5"));
  Names found = file.all_datasets();
  EXPECT_EQ(found.size(), expected("model.keras").size());
  for (const std::string& path : found) {
    Array array = file.read(path);
    expect_equal(array, expected("model.keras").at(path), path);
    EXPECT_TRUE(array.bytes() > zip.bytes().data() && array.bytes() < zip.bytes().data() + zip.bytes().size());
  }
}

TEST(Hdf5, ListsGroups) {
  H5File file = H5File::open(kData + "types.h5");
  EXPECT_EQ(file.groups(), (Names{"attributes", "created", "layouts", "loop", "strings", "types"}));
  EXPECT_EQ(file.datasets(), Names{"compound"});
  EXPECT_EQ(file.children("strings"), (Names{"fixed", "vlen"}));
  EXPECT_EQ(file.children("created"), (Names{"a", "y", "z"}));
  EXPECT_EQ(file.children_as_created("created"), (Names{"z", "a", "y"}));
  EXPECT_EQ(file.children_as_created("strings"), (Names{"fixed", "vlen"}));
  EXPECT_TRUE(file.is_group("/types/"));
  EXPECT_TRUE(file.is_dataset("types//float32"));
  EXPECT_FALSE(file.is_dataset("types"));
  EXPECT_FALSE(file.exists("types/absent/deeper"));
  EXPECT_FALSE(file.exists("types/float32/deeper"));
  EXPECT_TRUE(file.exists("attributes/up/float32"));  // through a soft link
  EXPECT_FALSE(file.exists("attributes/elsewhere"));  // never into another file
}

TEST(Hdf5, ReadsAttributes) {
  H5File file = H5File::open(kData + "types.h5");
  EXPECT_EQ(file.string_attribute("attributes", "text"), "ünicode");
  EXPECT_EQ(file.string_attribute("attributes", "fixed"), "bytes");
  EXPECT_EQ(file.strings_attribute("attributes", "names"), (Names{"kernel:0", "bias:0"}));
  EXPECT_EQ(file.strings_attribute("attributes", "unicode_names"), (Names{"α", "βγ"}));
  EXPECT_EQ(file.strings_attribute("attributes", "none"), Names{});
  EXPECT_EQ(file.strings_attribute("attributes", "long"), (Names{"a", "b", "c"}));
  EXPECT_EQ(file.strings_attribute("attributes", "absent"), std::nullopt);
  EXPECT_EQ(file.int_attribute("attributes", "int"), 42);
  EXPECT_EQ(file.int_attribute("attributes", "flag"), 1);
  EXPECT_EQ(file.double_attribute("attributes", "float"), 1.5);
  EXPECT_EQ(file.attribute("attributes", "flag")->dtype(), DType::Bool);
  EXPECT_EQ(file.attribute("attributes", "null")->shape(), Dims{0});
  EXPECT_EQ(file.string_attribute("types/bfloat16", "dtype"), "bfloat16");
  EXPECT_EQ(file.string_attribute("absent", "text"), std::nullopt);
  EXPECT_TRUE(file.has_attribute("attributes", "text"));
  EXPECT_FALSE(file.has_attribute("attributes", "txt"));
  EXPECT_EQ(file.attribute_names("types/bfloat16"), Names{"dtype"});
  std::string error = error_of(ErrorKind::BadFile, [&] { file.string_attribute("attributes", "int"); });
  EXPECT_NE(error.find("types.h5: /attributes, attribute int] is int64 [], not one string."), std::string::npos)
      << error;
}

TEST(Hdf5, SaysWhatIsWrong) {
  H5File file = H5File::open(kData + "types.h5");
  std::string error = error_of(ErrorKind::BadFile, [&] { file.read("types/absent"); });
  EXPECT_NE(error.find("has no dataset '/types/absent'"), std::string::npos) << error;
  error_of(ErrorKind::BadFile, [&] { file.read("types"); });
  error_of(ErrorKind::BadFile, [&] { file.read("compound"); });
  error_of(ErrorKind::BadFile, [&] { file.read("attributes/elsewhere"); });
  EXPECT_FALSE(file.info("compound").dtype);
  error_of(ErrorKind::BadFile, [&] { H5File::open(kData + "graph.pb"); });
  error_of(ErrorKind::BadFile, [&] { H5File("cut", share(file_text(kData + "types.h5").substr(0, 20000))); });
}

TEST(Hdf5, EveryThreadMayRead) {
  H5File file = H5File::open(kData + "types.h5");
  std::vector<std::thread> threads;
  std::atomic<int> done = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i)
        done += file.read("layouts/gzip").size() == 24 && file.read("types/int8").size() == 6;
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(done, 200);
}

TEST(Hdf5Writer, WritesWhatItReads) {
  H5File source = H5File::open(kData + "types.h5");
  H5Writer writer;
  for (const auto& [path, wanted] : expected("types.h5").items()) writer.write(path, source.read(path));
  writer.create_group("g/inner");
  writer.create_group("g");
  writer.set_attribute("g", "text", std::string("ünicode"));
  writer.set_attribute("g", "names", Names{"kernel:0", "b"});
  writer.set_attribute("g", "none", Names{});
  writer.set_attribute("g", "int", Array::of<int64_t>(DType::Int64, {}, {5}));
  H5File file("written", share(writer.finish()));
  for (const auto& [path, wanted] : expected("types.h5").items()) expect_equal(file.read(path), wanted, path);
  EXPECT_TRUE(file.is_group("g/inner"));
  EXPECT_EQ(file.string_attribute("g", "text"), "ünicode");
  EXPECT_EQ(file.strings_attribute("g", "names"), (Names{"kernel:0", "b"}));
  EXPECT_EQ(file.strings_attribute("g", "none"), Names{});
  EXPECT_EQ(file.int_attribute("g", "int"), 5);
  EXPECT_EQ(file.string_attribute("types/bfloat16", "dtype"), "bfloat16");
}

TEST(Hdf5Writer, SplitsLongLists) {
  Names names;
  for (int i = 0; i < 2001; ++i) names.push_back("layer_with_a_long_name_" + std::to_string(i) + std::string(30, 'x'));
  H5Writer writer;
  writer.set_attribute("/", "weight_names", names);
  writer.set_attribute("/", "weight_names", names);  // again: the old parts go
  H5File file("written", share(writer.finish()));
  EXPECT_EQ(file.attribute_names(), (Names{"weight_names0", "weight_names1"}));
  EXPECT_EQ(file.strings_attribute("/", "weight_names"), names);
}

TEST(Hdf5Writer, ChangesLeaveTheRest) {
  H5File source = H5File::open(kData + "types.h5");
  H5Writer writer(source);
  Array six = Array::of<float>(DType::Float32, {2, 3}, {1, 2, 3, 4, 5, 6});
  Array four = Array::of<float>(DType::Float32, {4}, {1, 2, 3, 4});
  Array layout = Array::of<float>(DType::Float32, {4, 6}, std::vector<float>(24, 2.5f));
  writer.write("types/float32", six);
  writer.write("types/float64", four);  // another type and shape
  writer.write("layouts/gzip", layout);
  writer.write("layouts/big_endian", layout);
  writer.write("brand/new", four);
  writer.remove("types/int8");
  writer.set_attribute("attributes", "text", std::string("changed"));
  writer.remove_attribute("attributes", "int");
  H5File file("changed", share(writer.finish()));
  EXPECT_EQ(file.read("types/float32").to_double(), six.to_double());
  EXPECT_EQ(file.location("types/float32"), source.location("types/float32"));
  EXPECT_EQ(file.read("types/float64").to_double(), four.to_double());
  EXPECT_EQ(file.read("brand/new").to_double(), four.to_double());
  EXPECT_EQ(file.read("layouts/gzip").to_double(), layout.to_double());
  EXPECT_FALSE(file.info("layouts/gzip").contiguous);
  EXPECT_EQ(file.read("layouts/big_endian").to_double(), layout.to_double());
  EXPECT_FALSE(file.exists("types/int8"));
  EXPECT_EQ(file.string_attribute("attributes", "text"), "changed");
  EXPECT_FALSE(file.has_attribute("attributes", "int"));
  for (const auto& [path, wanted] : expected("types.h5").items())
    if (path.find("float") == std::string::npos && path != "/types/int8" && path != "/layouts/gzip" &&
        path != "/layouts/big_endian")
      expect_equal(file.read(path), wanted, path);
  // The source was copied, not changed.
  expect_equal(source.read("types/float32"), expected("types.h5").at("/types/float32"), "source");
}

TEST(Hdf5Writer, OnDisk) {
  TemporaryFolder folder;
  Array array = Array::of<int32_t>(DType::Int32, {2}, {1, 2});
  {
    H5Writer writer = H5Writer::create_file(folder / "a.h5");
    writer.write("x", array);
    writer.close();
  }
  H5Writer writer = H5Writer::edit_file(folder / "a.h5");
  writer.write("y", array);
  writer.close();
  EXPECT_EQ(H5File::open(folder / "a.h5").all_datasets(), (Names{"/x", "/y"}));
}

TEST(Hdf5Writer, EqualContentsEqualFiles) {
  auto make = [] {
    H5Writer writer;
    writer.write("a/b", Array::of<float>(DType::Float32, {2}, {1, 2}));
    writer.set_attribute("a", "names", Names{"x"});
    return writer.finish();
  };
  EXPECT_EQ(make(), make());
}

}  // namespace
}  // namespace midstream
