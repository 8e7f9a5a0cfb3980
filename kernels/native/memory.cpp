#include "memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace perfuse {
namespace {
constexpr size_t kHuge = size_t{2} << 20;
// Prefetches and the last vector of a row may look past the end, and must never fault.
constexpr size_t kPast = 4096;

size_t rounded_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }
}  // namespace

Memory::Memory(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  // From half a huge page on whole ones: a matrix of 3 MiB with its last MiB in small pages was
  // read at 80 % of the speed.
  const size_t unit = bytes >= kHuge / 2 ? kHuge : 4096;
  const size_t size = rounded_up(bytes + kPast, unit);
  mapped_ = size + unit;
  if (mapped_ < bytes) throw std::bad_alloc();
  base_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base_ == MAP_FAILED) {
    base_ = nullptr;
    throw std::bad_alloc();
  }
  data_ = reinterpret_cast<char*>(rounded_up(reinterpret_cast<uintptr_t>(base_), unit));
  // Advice: where huge pages are off it fails, and costs speed only.
  if (unit == kHuge) madvise(data_, size, MADV_HUGEPAGE);
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
