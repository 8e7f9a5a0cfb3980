// A shard, and what waits at it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "lane.h"

namespace perfuse::fold {

// Of a chip or a shard.
struct EndCount {
  int64_t messages_out = 0, rows_out = 0, busy_out_ns = 0;
  int64_t messages_in = 0, rows_in = 0, busy_in_ns = 0;
};

// A dispatch on its way to a shard, or there: then it arrived at at_ns. mask: over those of the
// shard's experts that it chooses, where one word holds them.
struct Queued {
  int64_t first_ns, at_ns;
  uint64_t mask;
  int32_t chip, layer;
  uint32_t rows, choices;
};

struct Taken {
  int32_t chip;
  uint32_t rows;
};

// Of one layer, what a shard took.
struct Batch {
  int32_t layer = 0;
  bool is_launched = false;
  int64_t rows = 0, choices = 0;
  uint64_t mask = 0;
  std::vector<Taken> taken;

  void begin(int32_t of) {
    layer = of;
    is_launched = false;
    rows = choices = 0;
    mask = 0;
    taken.clear();
  }
  void take(const Queued& one) {
    rows += one.rows;
    choices += one.choices;
    mask |= one.mask;
    taken.push_back({one.chip, one.rows});
  }
};

struct alignas(64) Shard {
  // In the order of first bytes: [head, taken) are taken in, the others on their way. Those that
  // are taken in lie in the order of arrival.
  std::vector<Queued> queue;
  size_t head = 0, taken = 0;
  int64_t in_free_ns = 0, out_free_ns = 0;
  bool is_idle = true, is_looking = false;
  std::vector<Batch> batches;  // of these the first num_batches, from batch on
  size_t num_batches = 0, batch = 0;
  std::unique_ptr<PartedLane> into;  // where chips are slower
  EndCount count;
  int64_t launches = 0, compute_ns = 0, choices = 0, distinct = 0;
};

}  // namespace perfuse::fold
