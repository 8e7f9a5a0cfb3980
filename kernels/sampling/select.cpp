// Each round spreads the tokens over buckets by logit, and goes on with the one where the sum
// falls: three reads of ever fewer tokens, and a sort of the few that are left.
#include "select.h"

#include <algorithm>

namespace perfuse {
namespace {

constexpr int kBuckets = 512;
constexpr long kSorted = 32;  // so few are sorted at once

Place walk(const Candidates& from, const long* order, uint64_t target, uint64_t sum) {
  long i = 0;
  for (;; ++i) {
    sum += from.weights[order ? order[i] : i];
    if (sum > target || i == from.count - 1) break;
  }
  if (order) i = order[i];
  return {from.logits[i], from.ids[i], sum};
}

Place sort(const Candidates& from, uint64_t target, uint64_t sum) {
  long order[kSorted];
  for (long i = 0; i < from.count; ++i) order[i] = i;
  std::sort(order, order + from.count, [&](long x, long y) {
    return before(from.logits[x], from.ids[x], from.logits[y], from.ids[y]);
  });
  return walk(from, order, target, sum);
}

// Falls with the logit: 0 for the largest one.
struct Buckets {
  double high, scale;
  int operator()(float logit) const { return int((high - double(logit)) * scale); }
};

}  // namespace

Place find(const Candidates& from, uint64_t target, Candidates room) {
  Candidates now = from;
  uint64_t sum = 0;
  while (now.count > kSorted) {
    float high = now.logits[0], low = now.logits[0];
    for (long i = 1; i < now.count; ++i) {
      high = std::max(high, now.logits[i]);
      low = std::min(low, now.logits[i]);
    }
    if (high == low) return walk(now, nullptr, target, sum);
    // The lowest falls into the last bucket, the highest into the first: each round drops some.
    const Buckets bucket{high, (kBuckets - 1) / (double(high) - double(low))};
    uint64_t sums[kBuckets] = {};
    for (long i = 0; i < now.count; ++i) sums[bucket(now.logits[i])] += now.weights[i];
    int chosen = 0;
    while (chosen < kBuckets - 1 && sum + sums[chosen] <= target) sum += sums[chosen++];
    long kept = 0;
    for (long i = 0; i < now.count; ++i) {
      room.logits[kept] = now.logits[i];
      room.ids[kept] = now.ids[i];
      room.weights[kept] = now.weights[i];
      kept += bucket(now.logits[i]) == chosen;
    }
    now = room;
    now.count = kept;
  }
  return sort(now, target, sum);
}

}  // namespace perfuse
