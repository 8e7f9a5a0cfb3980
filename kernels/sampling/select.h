// Where a sum falls among tokens in order of their logits, without sorting them all.
#pragma once
#include <cstdint>

namespace perfuse {

// Tokens by ascending id.
struct Candidates {
  float* logits;
  uint32_t* ids;
  uint64_t* weights;
  long count;
};

// The order of tokens: largest logit first, then lowest id.
inline bool before(float x, uint32_t x_id, float y, uint32_t y_id) {
  return x != y ? x > y : x_id < y_id;
}

struct Place {
  float logit;
  uint32_t id;
  uint64_t sum;  // the weight of this token and all that stand before it
};

// The first token whose cumulative weight is above `target`, which must be below the weight of all;
// logits must be finite. `room` holds as many as `from`, and is overwritten.
Place find(const Candidates& from, uint64_t target, Candidates room);

}  // namespace perfuse
