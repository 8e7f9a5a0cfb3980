// What sampling asks of an instruction set: one pass for the largest logits, one for the weights.
#pragma once
#include <stdint.h>

namespace perfuse {

constexpr int kChunk = 64;  // logits that share a maximum, by which passes skip what cannot count
constexpr int kBars = 8;

// What a logit's weight depends on: floor(exp((logit - most) * inverse) * 2^44).
struct Heat {
  double most;
  double inverse;  // 1 / temperature
};

struct SamplingTable {
  // maxima[i]: the largest logit of chunk i, NaN left out. Returns whether there is any NaN.
  bool (*chunk_maxima)(const float* logits, long count, float* maxima);
  void (*weigh)(const float* logits, long count, const Heat& heat, uint64_t* weights);
  // sums[j]: the weight of all logits above bars[j]. Bars fall; nothing at or below the last one
  // has weight.
  void (*weigh_above)(const float* logits, long count, const float* maxima, const Heat& heat,
                      const float* bars, uint64_t* sums);
};

}  // namespace perfuse
