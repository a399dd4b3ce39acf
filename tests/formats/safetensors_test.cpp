#include "formats/safetensors.h"

#include "expected.h"
#include "formats/little_endian.h"

namespace midstream {
namespace {

using namespace test;

TEST(Safetensors, ReadsWhatTheLibraryWrote) {
  SafetensorsFile file = SafetensorsFile::open(kData + "types.safetensors");
  EXPECT_EQ(file.entries().size(), expected("types.safetensors").size());
  for (const auto& [name, wanted] : expected("types.safetensors").items()) expect_equal(file.read(name), wanted, name);
  EXPECT_EQ(file.metadata().at("made"), "by safetensors");
  EXPECT_FALSE(file.contains("absent"));
  error_of(ErrorKind::BadFile, [&] { file.read("absent"); });
}

TEST(Safetensors, WritesWhatItReads) {
  TemporaryFolder folder;
  SafetensorsFile source = SafetensorsFile::open(kData + "types.safetensors");
  NamedArrays tensors;
  for (const auto& [name, entry] : source.entries()) tensors.emplace_back(name, source.read(name));
  write_safetensors(folder / "a.safetensors", tensors, {{"format", "pt"}});
  std::reverse(tensors.begin(), tensors.end());
  write_safetensors(folder / "b.safetensors", tensors, {{"format", "pt"}});
  EXPECT_EQ(file_text(folder / "a.safetensors"), file_text(folder / "b.safetensors"));
  SafetensorsFile file = SafetensorsFile::open(folder / "a.safetensors");
  for (const auto& [name, wanted] : expected("types.safetensors").items()) expect_equal(file.read(name), wanted, name);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  for (const auto& [name, entry] : file.entries()) EXPECT_EQ(entry.range.offset % item_size(entry.dtype), 0u) << name;
}

TEST(Safetensors, RefusesWhatItCannotHold) {
  TemporaryFolder folder;
  error_of(ErrorKind::Unsupported, [&] { write_safetensors(folder / "a", {{"s", Array::of_strings({1}, {"a"})}}); });
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
}

TEST(Safetensors, RefusesBrokenHeaders) {
  auto parse = [](const std::string& header) {
    std::string text;
    append<uint64_t>(text, header.size());
    SafetensorsFile("a", share(text + header + std::string(8, '\0')));
  };
  parse(R"({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})");
  for (const char* bad : {R"({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}})",
                          R"({"x": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}})",
                          R"({"x": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}})",
                          R"({"x": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}})",
                          R"({"x": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 0]}})",
                          R"({"x": {"dtype": "F32", "shape": [2]}})", R"({"x": 1})", R"([])", R"({"x")", ""})
    error_of(ErrorKind::BadFile, [&] { parse(bad); });
  error_of(ErrorKind::Unsupported,
           [&] { parse(R"({"x": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}})"); });
  error_of(ErrorKind::BadFile, [] { SafetensorsFile("a", share(std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8))); });
}

}  // namespace
}  // namespace midstream
