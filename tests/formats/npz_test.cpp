#include "formats/npz.h"

#include "expected.h"

namespace midstream {
namespace {

using namespace test;

TEST(Npz, ReadsWhatNumpyWrote) {
  NpzFile file = NpzFile::open(kData + "stored.npz");
  EXPECT_EQ(file.names().size(), expected("stored.npz").size());
  for (const auto& [name, wanted] : expected("stored.npz").items()) expect_equal(file.read(name), wanted, name);
}

TEST(Npz, StoredArraysAreNotCopied) {
  NpzFile file = NpzFile::open(kData + "stored.npz");
  EXPECT_EQ(file.read("float32").owner(), file.zip().bytes().owner);
  EXPECT_NE(file.read("fortran").owner(), file.zip().bytes().owner);
  EXPECT_NE(file.read("big_endian").owner(), file.zip().bytes().owner);
}

TEST(Npz, ReadsCompressedMembers) {
  NpzFile file = NpzFile::open(kData + "compressed.npz");
  expect_equal(file.read("x"), expected("stored.npz").at("float32"), "x");
  expect_equal(file.read("y"), expected("stored.npz").at("int64"), "y");
  EXPECT_TRUE(file.contains("x"));
  EXPECT_FALSE(file.contains("z"));
  error_of(ErrorKind::BadFile, [&] { file.read("z"); });
}

TEST(Npz, WritesWhatItReads) {
  TemporaryFolder folder;
  NpzFile source = NpzFile::open(kData + "stored.npz");
  NamedArrays arrays;
  for (const std::string& name : source.names()) arrays.emplace_back(name, source.read(name));
  arrays.emplace_back("raw", Array::of_strings({2}, {"\xff\xfe", "a"}));  // not UTF-8: bytes
  write_npz(folder / "a.npz", arrays);
  NpzFile file = NpzFile::open(folder / "a.npz");
  EXPECT_EQ(file.names().size(), arrays.size());
  for (const auto& [name, wanted] : expected("stored.npz").items()) expect_equal(file.read(name), wanted, name);
  EXPECT_EQ(file.read("raw").strings()[0], "\xff\xfe");
  write_npy(folder / "a.npy", source.read("int16"));
  expect_equal(read_npy(folder / "a.npy"), expected("stored.npz").at("int16"), "npy");
}

TEST(Npz, NumpyAlignsItsHeadersTo64Bytes) {
  for (const Dims& shape : {Dims{}, Dims{3}, Dims{2, 3}}) {
    std::byte* bytes = nullptr;
    Array array = Array::allocate(DType::Float64, shape, &bytes);
    EXPECT_EQ((to_npy(array).size() - array.nbytes()) % 64, 0u);
  }
}

Array parse_header(const std::string& dict) {
  std::string text("\x93NUMPY\1\0", 8);
  text += static_cast<char>(dict.size());
  text += '\0';
  return parse_npy("a.npy", share(text + dict + std::string(16, '\0')));
}

TEST(Npz, RefusesWhatItMustNotRead) {
  std::string error = error_of(ErrorKind::BadFile, [] { read_npy(kData + "objects.npy"); });
  EXPECT_NE(error.find("pickle"), std::string::npos) << error;
  EXPECT_EQ(parse_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }").size(), 4);
  EXPECT_EQ(parse_header("{\"descr\": \"<f4\", 'shape': (2L,), 'fortran_order': True}\n").size(), 2);
  for (const char* bad :
       {"{'descr': '<f4', 'fortran_order': False, 'shape': (5, 1), }",  // cut short
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9, 9), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,), }", "{'descr': '<f4', 'shape': (1,), }",
        "{'descr': '<f4'", "{", "", "{'x': 1}", "{'descr': '<f', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (999999999,), }"})
    error_of(ErrorKind::BadFile, [&] { parse_header(bad); });
  error_of(ErrorKind::Unsupported,
           [] { parse_header("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,), }"); });
  error_of(ErrorKind::Unsupported, [] { parse_header("{'descr': '<f16', 'fortran_order': False, 'shape': (1,), }"); });
}

}  // namespace
}  // namespace midstream
