#include <algorithm>

#include "base/error.h"
#include "formats/hdf5.h"
#include "formats/mapped_file.h"
#include "formats/zip.h"
#include "writeback/container.h"
#include "writeback/read_back.h"

namespace midstream {
namespace {

constexpr const char* kWeights = "model.weights.h5";

// The arrays as the file has them: a run may compute in another floating dtype. Throws Error(Mismatch) for one that
// differs otherwise.
NamedArrays fitted(const H5File& file, NamedArrays arrays) {
  for (auto& [place, array] : arrays) {
    if (!file.exists(place)) continue;
    const H5DatasetInfo info = file.info(place);
    if (info.dtype && is_floating(*info.dtype) && is_floating(array.dtype())) array = array.to(*info.dtype);
    if (info.shape == array.shape() && info.dtype == array.dtype()) continue;
    throw Error(ErrorKind::Mismatch, file.name() + ": " + place,
                "the file's array is " + (info.dtype ? std::string(to_string(*info.dtype)) : "of another type") +
                    to_string(info.shape) + ", the value to write " + std::string(to_string(array.dtype())) +
                    to_string(array.shape()) + ".");
  }
  return arrays;
}

// Where every array's bytes are; nullopt if one has no place that can be overwritten.
std::optional<std::vector<ByteRange>> places(const H5File& file, const NamedArrays& arrays) {
  std::vector<ByteRange> out;
  bool all = true;
  for (const auto& [place, array] : arrays) {
    if (!file.exists(place)) {
      all = false;
      continue;
    }
    auto range = file.location(place);
    if (range && range->length == array.nbytes())
      out.push_back(*range);
    else
      all = false;
  }
  if (!all) return std::nullopt;
  return out;
}

std::vector<std::byte> rewritten(const H5File& file, const NamedArrays& arrays,
                                 const std::vector<std::string>& optimizer = {}) {
  H5Writer writer(file);
  for (const auto& [place, array] : arrays) writer.write(place, array);
  if (!optimizer.empty()) writer.set_attribute("/optimizer_weights", "weight_names", optimizer);
  return writer.finish();
}

}  // namespace

void write_keras(const std::string& source, const NamedArrays& given, const std::string& path) {
  ZipFile zip = ZipFile::open(source);
  const ZipMember* member = zip.find(kWeights);
  if (!member) throw Error(ErrorKind::BadFile, source, std::string("holds no ") + kWeights + ".");
  H5File file(source + ": " + kWeights, zip.read(kWeights));
  const NamedArrays arrays = fitted(file, given);  // must live until the edit is written
  ZipEdit edit(zip);
  std::vector<std::byte> bytes;  // and so must these
  auto where = places(file, arrays);
  if (where && !member->deflated) {
    for (size_t i = 0; i < arrays.size(); ++i)
      edit.patch(kWeights, (*where)[i].offset, {arrays[i].second.bytes(), arrays[i].second.nbytes()});
  } else {
    bytes = rewritten(file, arrays);
    edit.replace(kWeights, bytes);
  }
  edit.write(path, [&](const std::string& written) { expect_in_keras(written, arrays); });
}

void write_keras_h5(const std::string& source, const NamedArrays& given, const std::string& path,
                    const std::vector<std::string>& optimizer) {
  H5File file(source, map_file(source));  // probed when the run was opened
  const NamedArrays arrays = fitted(file, given);
  const auto check = [&](const std::string& written) { expect_in_keras_h5(written, arrays, optimizer); };
  auto where = places(file, arrays);
  if (!where) {
    atomic_write(path, rewritten(file, arrays, optimizer), check);
    return;
  }
  SharedBytes image = file.image();
  const auto fill = [&](FileWriter& out) {
    out.write(image.bytes);
    for (size_t i = 0; i < arrays.size(); ++i)
      out.write_at((*where)[i].offset, {arrays[i].second.bytes(), arrays[i].second.nbytes()});
  };
  atomic_write(path, fill, check);
}

}  // namespace midstream
