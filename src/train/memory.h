// What a process that trains asks of the allocator.
#pragma once

namespace midstream {

// Memory that a step frees stays with the process: the next step wants the same again, and getting it anew from the
// kernel, page by page and cleared, takes a tenth of a step and more. For programs, not for libraries.
void keep_freed_memory();

}  // namespace midstream
