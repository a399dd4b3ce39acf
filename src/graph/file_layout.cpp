// See file_layout.h.
#include "graph/file_layout.h"

#include "base/error.h"

namespace midstream {
namespace {

// Bytes of one block for each index before `axis`, and how many such indices there are.
std::pair<size_t, size_t> strips(const Array& block, int64_t axis) {
  size_t outer = 1;
  for (int64_t i = 0; i < axis; ++i) outer *= static_cast<size_t>(block.shape()[static_cast<size_t>(i)]);
  return {outer ? block.nbytes() / outer : 0, outer};
}

}  // namespace

Array FileLayout::join(const std::vector<Array>& arrays) const {
  if (arrays.size() != sources.size()) throw Error(ErrorKind::Internal, "", "a file layout has other parts.");
  std::vector<Array> blocks;
  for (const Array& a : arrays) {
    blocks.push_back(midstream::apply(from_file, a));
    if (blocks.back().shape() == blocks[0].shape() && a.dtype() == arrays[0].dtype()) continue;
    throw Error(ErrorKind::Mismatch, sources[blocks.size() - 1],
                "has shape " + to_string(a.shape()) + ", but '" + sources[0] + "', a part of the same weight, has " +
                    to_string(arrays[0].shape()) + ".");
  }
  if (blocks.size() == 1) return blocks[0];
  Dims dims = blocks[0].shape();
  if (axis >= static_cast<int64_t>(dims.size()))
    throw Error(ErrorKind::Mismatch, sources[0], "has shape " + to_string(arrays[0].shape()) + ", more axes are wanted.");
  dims[static_cast<size_t>(axis)] *= static_cast<int64_t>(blocks.size());
  std::byte* to = nullptr;
  Array out = Array::allocate(blocks[0].dtype(), dims, &to);
  const auto [strip, outer] = strips(blocks[0], axis);
  for (size_t o = 0; o < outer; ++o)
    for (const Array& block : blocks) {
      if (strip) std::memcpy(to, block.bytes() + o * strip, strip);
      to += strip;
    }
  return out;
}

std::vector<std::pair<std::string, Array>> FileLayout::split(const Array& value) const {
  Dims dims = value.shape();
  if (sources.size() > 1) dims[static_cast<size_t>(axis)] /= static_cast<int64_t>(sources.size());
  std::vector<Array> blocks;
  std::vector<std::byte*> to(sources.size());
  for (std::byte*& bytes : to) blocks.push_back(Array::allocate(value.dtype(), dims, &bytes));
  const auto [strip, outer] = strips(blocks[0], axis);
  const std::byte* from = value.bytes();
  for (size_t o = 0; o < outer; ++o)
    for (std::byte*& bytes : to) {
      if (strip) std::memcpy(bytes, from, strip);
      bytes += strip;
      from += strip;
    }
  std::vector<std::pair<std::string, Array>> out;
  for (size_t i = 0; i < sources.size(); ++i) out.emplace_back(sources[i], midstream::apply(inverse(from_file), blocks[i]));
  return out;
}

}  // namespace midstream
