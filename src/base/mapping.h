// Memory that is a mapped file: its deleter, by which its owner is known, and giving pages back.
#pragma once

#include <cstddef>
#include <memory>

namespace midstream {

// Deleter of a map's owner (formats/mapped_file.h makes them).
struct Unmap {
  size_t size;
  void operator()(const void* address) const;
};

// For memory that was copied from: the whole pages inside [data, data + size) no longer count as this process' memory
// if `owner` is a map, and are read from the file again should somebody look at them. What was written there is lost.
void release_pages(const std::byte* data, size_t size, const std::shared_ptr<const void>& owner);

}  // namespace midstream
