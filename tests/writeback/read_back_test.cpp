// What was written is compared with what was to be written, and what is not the same is refused by name.
#include "writeback/read_back.h"

#include <gtest/gtest.h>

#include "expected.h"
#include "formats/graphdef.h"
#include "formats/hdf5.h"
#include "formats/mapped_file.h"
#include "formats/tensor_bundle.h"
#include "formats/zip.h"
#include "writeback/container.h"

namespace midstream {
namespace {

using namespace test;

Array ramp(float first) { return Array::of<float>(DType::Float32, {3}, {first, first + 1, first + 2}); }

// An HDF5 file with the arrays "/a/kernel" and "/a/bias".
std::string h5_with(const TemporaryFolder& folder, const std::string& name) {
  std::string any;
  for (const auto& entry : std::filesystem::directory_iterator(kData))
    if (entry.path().extension() == ".h5") any = std::max(any, entry.path().string());
  const H5File source = H5File::open(any);
  H5Writer writer(source);
  writer.write("/a/kernel", ramp(1));
  writer.write("/a/bias", ramp(5));
  atomic_write(folder / name, writer.finish());
  return folder / name;
}

const NamedArrays kWanted{{"/a/kernel", ramp(1)}, {"/a/bias", ramp(5)}};
const NamedArrays kOther{{"/a/kernel", ramp(1)}, {"/a/bias", ramp(6)}};
const NamedArrays kMissing{{"/a/kernel", ramp(1)}, {"/a/gamma", ramp(5)}};

template <class F>
void expect_checked(F check, const std::string& other, const std::string& missing) {
  check(kWanted);
  const std::string differs = error_of(ErrorKind::Internal, [&] { check(kOther); });
  EXPECT_NE(differs.find(other), std::string::npos) << differs;
  EXPECT_NE(differs.find("the old file is as it was"), std::string::npos) << differs;
  const std::string absent = error_of(ErrorKind::Internal, [&] { check(kMissing); });
  EXPECT_NE(absent.find(missing), std::string::npos) << absent;
}

TEST(ReadBack, KerasFiles) {
  TemporaryFolder folder;
  const std::string h5 = h5_with(folder, "m.h5");
  expect_checked([&](const NamedArrays& arrays) { expect_in_keras_h5(h5, arrays, {}); }, "/a/bias", "/a/gamma");
  const SharedBytes bytes = map_file(h5);
  write_zip(folder / "m.keras", {{"model.weights.h5", bytes.bytes}});
  expect_checked([&](const NamedArrays& arrays) { expect_in_keras(folder / "m.keras", arrays); }, "/a/bias",
                 "/a/gamma");
  error_of(ErrorKind::Internal, [&] { expect_in_keras_h5(h5, kWanted, {"iteration"}); });
}

TEST(ReadBack, Checkpoints) {
  TemporaryFolder folder;
  write_bundle(folder / "ckpt", kWanted);
  expect_checked([&](const NamedArrays& arrays) { expect_in_bundle(folder / "ckpt", arrays); }, "/a/bias", "/a/gamma");
}

TEST(ReadBack, AnArrayThatTheGraphLacksIsNotPassedOver) {
  TemporaryFolder folder;
  const std::string text =
      error_of(ErrorKind::Internal, [&] { write_frozen_graph(kData + "graph.pb", kWanted, folder / "out.pb"); });
  EXPECT_NE(text.find("/a/kernel"), std::string::npos) << text;
  EXPECT_FALSE(std::filesystem::exists(folder / "out.pb"));
}

}  // namespace
}  // namespace midstream
