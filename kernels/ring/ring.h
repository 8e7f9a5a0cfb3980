// Two rings of bytes in memory that two processes share, one for each direction, and a bell a side.
//
// Each ring has one writer and one reader. Positions only grow: `head` is how much was written,
// `tail` how much was read, and each side keeps its own where the other cannot write. What the
// other says is checked before it is used: whatever it writes there, nothing is touched but the
// ring.
//
// A record is its length in 8 bytes and then its bytes, one after the other, without gaps; what is
// longer than the ring goes in pieces. A reader that is about to sleep says so; a writer rings its
// bell, a system call, only then. A writer that finds no room says so as well, and is rung once
// half of the ring is free, so that the two do not wake each other for a few bytes.
//
//    0        | page of positions: of ring 0, of ring 1
//    4096     | bytes of ring 0: side 0 writes, side 1 reads
//    + bytes  | bytes of ring 1: side 1 writes, side 0 reads
#pragma once
#include <atomic>
#include <cstdint>

#include "../native/arguments.h"

namespace perfuse::ring {

constexpr long kPositionsBytes = 4096;
constexpr long kLengthBytes = 8;

// Apart, so that neither side's writing takes the other's line away; two lines are fetched at once.
struct Positions {
  alignas(128) std::atomic<uint64_t> head;
  alignas(128) std::atomic<uint64_t> tail;
  alignas(128) std::atomic<uint32_t> reader_sleeps;
  alignas(128) std::atomic<uint32_t> writer_waits;
};
static_assert(2 * sizeof(Positions) <= kPositionsBytes);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// What is wrong with what the other side wrote; below any count.
constexpr int64_t kBadHead = -1, kBadLength = -2, kBadTail = -3;

// One side's view of both rings. For one thread at a time.
class Ring : public Owned {
 public:
  // Throws std::invalid_argument where the file is not as large as both rings. The descriptors
  // stay the caller's.
  Ring(int file, long ring_bytes, int side, int own_bell, int other_bell, long record_bytes_max);
  ~Ring() override { close(); }
  const char* what() const override { return "ring"; }

  // Adds bytes to the record that is open, or opens one of `total` bytes; returns how many of them
  // it took. Fewer than there are: the bell rings when there is room. The other side sees a
  // record's bytes once all are there, or the ring is full.
  int64_t write(const char* bytes, long count, long total);
  // Length of the record that comes next, or what is left of the one that is being read; 0: nothing
  // is there, and the bell rings when something is.
  int64_t next();
  // Takes what is there of that record; returns how much.
  int64_t read(char* to);
  // What `read` will take at most.
  long left() const { return long(reading_); }
  // After the bell: so that it is silent again.
  void awake();
  void close();

 private:
  void publish();
  int64_t room();
  int64_t await_room();
  int64_t available();
  void copy_in(const char* from, long count);
  void copy_out(char* to, long count);
  void consumed();
  static void ring_bell(int bell);

  void* map_ = nullptr;
  long ring_bytes_, record_bytes_max_;
  int own_bell_ = -1, other_bell_ = -1;
  Positions *out_ = nullptr, *in_ = nullptr;
  char *out_bytes_ = nullptr, *in_bytes_ = nullptr;
  uint64_t head_ = 0, tail_ = 0;            // ours: written there for the other to see
  uint64_t writing_ = 0, reading_ = 0;      // what is left of the record that is open
};

}  // namespace perfuse::ring
