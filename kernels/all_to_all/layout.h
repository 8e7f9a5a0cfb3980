// Where everything lies in a rank's arena. All ranks have the same geometry, so each knows where to
// write in another's arena without reading a single number there.
//
//   header    4096 B   who this is; written and checked by arena.py
//     alive     at 512    1 while the rank lives
//     bells     at 576    [work, answers], where this rank sleeps
//   work      [parity][source]   what `source` dispatches to this rank
//     control, requests, positions, experts, weights, rows[capacity]
//   answers   [parity][shard]    what `shard` sends back to this rank
//     control, rows[capacity]
//
// A region's writer is the one other rank in its index. It writes rows, then the control's `round`
// with release: the sender's epoch and the number of the dispatch between these two, which only
// grows and is never cleared. So what an earlier incarnation left means nothing to a later one.
//
//   region                 written when                              free again when
//   work[r & 1][source]    source sends round r                      answers[r & 1] has round r
//   answers[r & 1][shard]  shard answers or refuses round r          source has summed or dropped r
//
// An answer is thus the credit for the work region, and sending round r + 2 is the one for the
// answer's: two rounds of a pair may be on their way, whatever other pairs do.
#pragma once
#include <atomic>
#include <cstdint>

namespace perfuse::a2a {

enum class RowFormat : int64_t { FP32 = 0, BF16 = 1, INT8 = 2, FP64 = 3 };

constexpr long kHeaderBytes = 4096;
constexpr long kAliveAt = 512;
constexpr long kBellsAt = 576;
constexpr int kEpochBits = 24;
constexpr int kRoundBits = 64 - kEpochBits;
constexpr uint64_t kRoundsMax = (uint64_t{1} << kRoundBits) - 1;

inline uint64_t round_word(uint64_t epoch, uint64_t round) { return epoch << kRoundBits | round; }

// A rank's bells: what it waits for rings the one or the other.
enum Side { WORK = 0, ANSWERS = 1, NUM_SIDES = 2 };

// Who waits at a bell: a thread on the futex, or an event loop on its rank's pipe.
enum Sleeper : uint32_t { NOBODY = 0, THREAD = 1, LOOP = 2 };

struct alignas(64) Bell {
  std::atomic<uint32_t> rings;     // the futex
  std::atomic<uint32_t> wake_at;   // rings that are worth a system call
  std::atomic<uint32_t> sleeper;   // a Sleeper
};

struct alignas(64) WorkControl {
  std::atomic<uint64_t> round;
  std::atomic<uint32_t> num_rows;
  std::atomic<int64_t> tag;  // the sender's word for it: a layer
};

enum class Status : uint32_t { SUMS = 0, REFUSED = 1 };

struct alignas(64) AnswerControl {
  std::atomic<uint64_t> round;
  std::atomic<uint32_t> num_rows;
  std::atomic<uint32_t> status;
};

static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(Bell) == 64 &&
              sizeof(WorkControl) == 64 && sizeof(AnswerControl) == 64);

struct Geometry {
  long world, capacity, hidden, num_experts, each;  // each: experts a token
  RowFormat send, back;
};

long row_bytes(RowFormat format, long hidden);

// Offsets in bytes; within a region from its start.
struct Layout {
  explicit Layout(const Geometry& geometry);

  long send_row_bytes, back_row_bytes;
  long requests_at, positions_at, experts_at, weights_at, rows_at, work_bytes;
  long answer_rows_at, answer_bytes;
  long work_begin, answers_begin, arena_bytes;
  long world;

  long work(uint64_t round, long source) const {
    return work_begin + (long(round & 1) * world + source) * work_bytes;
  }
  long answer(uint64_t round, long shard) const {
    return answers_begin + (long(round & 1) * world + shard) * answer_bytes;
  }
};

}  // namespace perfuse::a2a
