// Memory with a rank's layout.
#pragma once
#include <cstddef>

#include "layout.h"

namespace perfuse::a2a {

// A file of another process, mapped, or memory of this one alone; unmapped with the last who holds
// it.
class Mapping {
 public:
  Mapping(int file, long bytes);
  // Nobody else's. A page is there once it is written.
  explicit Mapping(long bytes);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  template <class T>
  T* at(long offset) const {
    return reinterpret_cast<T*>(data_ + offset);
  }
  Bell& bell(Side side) const { return at<Bell>(kBellsAt)[side]; }
  std::atomic<uint32_t>& alive() const { return *at<std::atomic<uint32_t>>(kAliveAt); }

 private:
  char* data_;
  size_t bytes_;
};

}  // namespace perfuse::a2a
