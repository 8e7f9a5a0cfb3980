#include "ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace perfuse::ring {
namespace {

int duplicate(int descriptor) {
  const int own = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (own < 0) refuse("a bell is no open file: " + std::string(std::strerror(errno)));
  return own;
}

}  // namespace

Ring::Ring(int file, long ring_bytes, int side, int own_bell, int other_bell,
           long record_bytes_max)
    : ring_bytes_(ring_bytes), record_bytes_max_(record_bytes_max) {
  struct stat found {};
  const long size = kPositionsBytes + 2 * ring_bytes;
  if (::fstat(file, &found) != 0 || found.st_size != size) {
    refuse("file has " + std::to_string(found.st_size) + " bytes; two rings of " +
           std::to_string(ring_bytes) + " take " + std::to_string(size));
  }
  try {
    own_bell_ = duplicate(own_bell);
    other_bell_ = duplicate(other_bell);
    void* map = ::mmap(nullptr, size_t(size), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) refuse("file cannot be mapped: " + std::string(std::strerror(errno)));
    map_ = map;
  } catch (...) {
    close();
    throw;
  }
  auto* const positions = static_cast<Positions*>(map_);
  char* const bytes = static_cast<char*>(map_) + kPositionsBytes;
  out_ = positions + side, in_ = positions + (1 - side);
  out_bytes_ = bytes + side * ring_bytes, in_bytes_ = bytes + (1 - side) * ring_bytes;
}

void Ring::close() {
  if (map_) ::munmap(map_, size_t(kPositionsBytes + 2 * ring_bytes_));
  map_ = nullptr;
  for (int* bell : {&own_bell_, &other_bell_}) {
    if (*bell >= 0) ::close(*bell);
    *bell = -1;
  }
}

// A bell that is full rings already.
void Ring::ring_bell(int bell) {
  const uint64_t one = 1;
  while (::write(bell, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void Ring::awake() {
  if (!map_) refuse("the ring is closed");
  uint64_t rings;
  while (::read(own_bell_, &rings, sizeof rings) < 0 && errno == EINTR) {
  }
  in_->reader_sleeps.store(0, std::memory_order_relaxed);
}

// -- writing

int64_t Ring::room() {
  const uint64_t used = head_ - out_->tail.load(std::memory_order_acquire);
  return used > uint64_t(ring_bytes_) ? kBadTail : ring_bytes_ - int64_t(used);
}

void Ring::publish() {
  out_->head.store(head_, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (out_->reader_sleeps.load(std::memory_order_relaxed) != 0 &&
      out_->reader_sleeps.exchange(0) != 0) {
    ring_bell(other_bell_);
  }
}

// Room that has come while we said that we wait for it; less than half: the bell will ring.
int64_t Ring::await_room() {
  out_->writer_waits.store(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const int64_t found = room();
  if (found >= 0 && found < ring_bytes_ / 2) return 0;
  out_->writer_waits.store(0, std::memory_order_relaxed);
  return found;
}

int64_t Ring::write(const char* bytes, long count, long total) {
  if (!map_) refuse("the ring is closed");
  if (writing_ != 0 && uint64_t(count) > writing_) {
    refuse("bytes has " + std::to_string(count) + " of a record that lacks " +
           std::to_string(writing_));
  }
  if (writing_ == 0 && count > total) {
    refuse("bytes has " + std::to_string(count) + " of a record of " + std::to_string(total));
  }
  int64_t taken = 0, free = room();
  while (free >= 0) {
    if (writing_ == 0 && free >= kLengthBytes) {
      const auto length = uint64_t(total);
      copy_in(reinterpret_cast<const char*>(&length), kLengthBytes);
      free -= kLengthBytes;
      writing_ = length;
    }
    if (writing_ != 0) {
      const long part = std::min(long(free), count - long(taken));
      copy_in(bytes + taken, part);
      taken += part;
      writing_ -= uint64_t(part);
      if (taken == count) {
        if (writing_ == 0) publish();
        return taken;
      }
    }
    publish();
    free = await_room();
    if (free == 0) return taken;
  }
  return free;
}

void Ring::copy_in(const char* from, long count) {
  const long at = long(head_ % uint64_t(ring_bytes_)), first = std::min(count, ring_bytes_ - at);
  std::memcpy(out_bytes_ + at, from, size_t(first));
  std::memcpy(out_bytes_, from + first, size_t(count - first));
  head_ += uint64_t(count);
}

// -- reading

int64_t Ring::available() {
  const uint64_t there = in_->head.load(std::memory_order_acquire) - tail_;
  return there > uint64_t(ring_bytes_) ? kBadHead : int64_t(there);
}

int64_t Ring::next() {
  if (!map_) refuse("the ring is closed");
  const int64_t needed = reading_ ? 1 : kLengthBytes;
  int64_t there = available();
  if (there >= 0 && there < needed) {
    in_->reader_sleeps.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    // What is not seen here rings: its writer sees the sleeper.
    there = available();
    if (there >= 0 && there < needed) return 0;
    in_->reader_sleeps.store(0, std::memory_order_relaxed);
  }
  if (there < 0) return there;
  if (reading_ == 0) {
    uint64_t length;
    copy_out(reinterpret_cast<char*>(&length), kLengthBytes);
    if (length == 0 || length > uint64_t(record_bytes_max_)) return kBadLength;
    reading_ = length;
  }
  return int64_t(reading_);
}

int64_t Ring::read(char* to) {
  if (!map_) refuse("the ring is closed");
  const int64_t there = available();
  if (there < 0) return there;
  const long part = std::min(long(there), long(reading_));
  copy_out(to, part);
  reading_ -= uint64_t(part);
  consumed();
  return part;
}

void Ring::copy_out(char* to, long count) {
  const long at = long(tail_ % uint64_t(ring_bytes_)), first = std::min(count, ring_bytes_ - at);
  std::memcpy(to, in_bytes_ + at, size_t(first));
  std::memcpy(to + first, in_bytes_, size_t(count - first));
  tail_ += uint64_t(count);
}

void Ring::consumed() {
  in_->tail.store(tail_, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (in_->writer_waits.load(std::memory_order_relaxed) == 0) return;
  const int64_t there = available();
  if (there <= ring_bytes_ / 2 && in_->writer_waits.exchange(0) != 0) ring_bell(other_bell_);
}

}  // namespace perfuse::ring
