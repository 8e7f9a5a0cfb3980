#include "gate.h"

#include <algorithm>
#include <limits>

namespace perfuse {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

// The largest that is not taken; the first one where none is larger than another.
long best(const float* values, const bool* taken, long count) {
  long found = -1;
  for (long i = 0; i < count; ++i) {
    if (!taken[i] && (found < 0 || values[i] > values[found])) found = i;
  }
  return found;
}

float group_score(const float* values, long count, long how_many) {
  float first = kNone, second = kNone;
  for (long i = 0; i < count; ++i) {
    if (values[i] > first) {
      second = first;
      first = values[i];
    } else if (values[i] > second) {
      second = values[i];
    }
  }
  return how_many == 1 ? first : first + second;
}

}  // namespace

void Gate::choose(const Table& table, const std::vector<float>& correction, float* logits,
                  float* choice, int32_t* ids, float* weights) const {
  bool taken[kGateExpertsMax] = {};
  if (sigmoid) {
    table.sigmoid(logits, experts);
  } else {
    table.softmax(logits, experts);
  }
  for (long e = 0; e < experts; ++e) {
    const float score = correction.empty() ? logits[e] : logits[e] + correction[size_t(e)];
    choice[e] = score == score ? score : kNone;  // nothing is larger than NaN: it would stay first
  }
  if (groups > 1 && groups_kept < groups) {
    const long size = experts / groups;
    float scores[kGateExpertsMax];
    bool kept[kGateExpertsMax] = {};
    for (long g = 0; g < groups; ++g) scores[g] = group_score(choice + g * size, size, group_best);
    for (long n = 0; n < groups_kept; ++n) kept[best(scores, kept, groups)] = true;
    // Below all others: with a negative correction an expert of a kept group may stand below zero.
    for (long g = 0; g < groups; ++g) {
      if (!kept[g]) std::fill_n(choice + g * size, size, kNone);
    }
  }
  float total = 0;
  for (long k = 0; k < top_k; ++k) {
    const long e = best(choice, taken, experts);
    taken[e] = true;
    ids[k] = int32_t(e);
    weights[k] = logits[e];
    total += logits[e];
  }
  const float factor = normalise ? scaling / (sigmoid ? total + 1e-20f : total) : scaling;
  for (long k = 0; k < top_k; ++k) weights[k] *= factor;
}

}  // namespace perfuse
