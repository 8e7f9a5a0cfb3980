// Memory for weights and scratch: aligned to huge pages or cache lines, owned here.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

namespace perfuse {

// Zeroed, aligned to 64 bytes; from 1 MiB on to 2 MiB, and asked to be huge pages to the end: up to
// 2 MiB more than bytes() may be resident. Throws std::bad_alloc.
class Memory {
 public:
  Memory() = default;
  explicit Memory(size_t bytes);
  ~Memory();
  Memory(Memory&& other) noexcept { swap(other); }
  Memory& operator=(Memory&& other) noexcept {
    swap(other);
    return *this;
  }
  char* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void swap(Memory& other) {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(base_, other.base_);
    std::swap(mapped_, other.mapped_);
  }
  char* data_ = nullptr;
  size_t bytes_ = 0;
  void* base_ = nullptr;
  size_t mapped_ = 0;
};

// Scratch of the calling thread: grows, is reused by the next call, dies with the thread.
// `begin` forgets what the call before took; pieces stay valid until then.
class Scratch {
 public:
  static Scratch& begin(size_t bytes);
  template <class T>
  T* take(size_t count) {
    T* piece = reinterpret_cast<T*>(memory_.data() + used_);
    used_ += round_up(count * sizeof(T));
    return piece;
  }
  static size_t round_up(size_t bytes) { return (bytes + 63) & ~size_t{63}; }

 private:
  Memory memory_;
  size_t used_ = 0;
};

// Pieces of memory that the caller owns, one after another, each aligned to 64 bytes as it is. At
// nullptr it only counts: a view that takes its pieces in its constructor is also what says how
// much room it needs.
class Room {
 public:
  explicit Room(char* base) : base_(reinterpret_cast<uintptr_t>(base)) {}
  template <class T>
  T* take(size_t count) {
    T* piece = reinterpret_cast<T*>(base_ + used_);
    used_ += Scratch::round_up(count * sizeof(T));
    return piece;
  }
  size_t used() const { return used_; }

 private:
  uintptr_t base_;
  size_t used_ = 0;
};

}  // namespace perfuse
