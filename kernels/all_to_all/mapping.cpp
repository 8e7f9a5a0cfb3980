#include "mapping.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <new>

#include "../native/arguments.h"

namespace perfuse::a2a {
namespace {

char* map(size_t bytes, int flags, int file) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, file, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  return static_cast<char*>(data);
}

}  // namespace

Mapping::Mapping(int file, long bytes) : data_(nullptr), bytes_(size_t(bytes)) {
  struct stat info {};
  if (fstat(file, &info) != 0) refuse("the arena's file is not open");
  if (info.st_size != bytes) {
    refuse("the arena's file has " + std::to_string(info.st_size) + " bytes; it must have " +
           std::to_string(bytes));
  }
  // Populated: no page fault is left for the first messages.
  data_ = map(bytes_, MAP_SHARED | MAP_POPULATE, file);
}

Mapping::Mapping(long bytes)
    : data_(map(size_t(bytes), MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1)),
      bytes_(size_t(bytes)) {}

Mapping::~Mapping() { munmap(data_, bytes_); }

}  // namespace perfuse::a2a
