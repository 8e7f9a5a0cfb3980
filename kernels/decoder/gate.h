// Which experts a token visits, and with what weights, from its row of gate logits.
#pragma once
#include <cstdint>
#include <vector>

#include "../native/table.h"

namespace perfuse {

// The ways of Qwen3-MoE and DeepSeek-V2/V3 as one: scores are softmax or sigmoid of the logits; a
// correction takes part in choosing only; where there are groups, the best of them (by the sum of
// their `group_best` best experts) are kept first.
constexpr long kGateExpertsMax = 4096;

struct Gate {
  long experts = 0, top_k = 0;
  bool sigmoid = false;
  bool normalise = false;  // weights of the chosen sum to one, before scaling
  long groups = 1, groups_kept = 1, group_best = 1;
  float scaling = 1.0f;

  // correction[experts], or none; logits[experts] are overwritten; choice[experts] is room. Best
  // first, lowest id on ties; NaN comes after all others.
  void choose(const Table& table, const std::vector<float>& correction, float* logits,
              float* choice, int32_t* ids, float* weights) const;
};

}  // namespace perfuse
