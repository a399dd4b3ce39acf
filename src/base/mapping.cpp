#include "base/mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace midstream {

void Unmap::operator()(const void* address) const { ::munmap(const_cast<void*>(address), size); }

void release_pages(const std::byte* data, size_t size, const std::shared_ptr<const void>& owner) {
  if (!std::get_deleter<Unmap>(owner)) return;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(data), end = begin + size;
  const uintptr_t first = (begin + page - 1) / page * page, last = end / page * page;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace midstream
