#include "memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace perfuse {
namespace {
constexpr size_t kHuge = size_t{2} << 20;
}

Memory::Memory(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const size_t alignment = bytes >= kHuge ? kHuge : 4096;
  // 4 KiB more: prefetches and the last vector of a row may look past the end, never fault.
  mapped_ = bytes + alignment + 4096;
  if (mapped_ < bytes) throw std::bad_alloc();
  base_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base_ == MAP_FAILED) {
    base_ = nullptr;
    throw std::bad_alloc();
  }
  const auto begin = (reinterpret_cast<uintptr_t>(base_) + alignment - 1) & ~(alignment - 1);
  data_ = reinterpret_cast<char*>(begin);
  // Advice: where huge pages are off it fails, and costs speed only.
  if (bytes >= kHuge) madvise(data_, bytes, MADV_HUGEPAGE);
}

Memory::~Memory() {
  if (base_) munmap(base_, mapped_);
}

Scratch& Scratch::begin(size_t bytes) {
  thread_local Scratch scratch;
  scratch.used_ = 0;
  if (scratch.memory_.bytes() < bytes) {
    scratch.memory_ = Memory();
    scratch.memory_ = Memory(bytes + bytes / 2);
  }
  return scratch;
}

}  // namespace perfuse
