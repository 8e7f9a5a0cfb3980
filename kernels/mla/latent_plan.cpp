// Which items a step's latent attention falls into: some tokens of a sequence, and either all keys
// that they see or one split of them. Both do the same arithmetic in the same order.
#include <string>

#include "../native/pool.h"
#include "latent.h"

namespace perfuse {
namespace {

constexpr int64_t kSplitLeast = 512;
// Items that are smaller than this part of a thread's work need not be split.
constexpr double kShare = 0.25;

}  // namespace

int64_t latent_split_end(int64_t position) {
  int64_t size = kSplitLeast;
  // Sizes double where eight times the next one is reached: each is a power of two, and divides
  // where it begins.
  while (position >= 16 * size) size *= 2;
  return (position / size + 1) * size;
}

LatentPlan::LatentPlan(const LatentCache& cache, long num_heads, const Sequences& all, long window)
    : PagedPlan(cache, num_heads, all, window), groups((num_heads + kGroupHeads - 1) / kGroupHeads),
      latent(cache.latent), rope(cache.rope) {
  if (num_heads < 1 || num_heads > kLatentHeadsMax) {
    refuse("num_heads is " + std::to_string(num_heads) + "; it must be from 1 to " +
           std::to_string(kLatentHeadsMax));
  }
  for (long s = 0; s < all.count; ++s) add_items(cache, s);
  make_items(kShare * operations / num_threads());
}

void LatentPlan::add_items(const LatentCache& cache, long s) {
  const Sequence& sequence = sequences[size_t(s)];
  const long most = std::max(1L, kLatentRows / (groups * kGroupHeads));
  for (int64_t first = 0; first < sequence.count; first += most) {
    const int64_t tokens = std::min<int64_t>(most, sequence.count - first);
    const int64_t begin = sequence.begin_of(sequence.start + first, window);
    const int64_t end = sequence.end_of(sequence.start + first + tokens - 1);
    items.push_back({int32_t(s), first, tokens, begin, std::max(begin, end), -1});
    const int64_t keys = std::max(int64_t{0}, end - begin);
    kv_bytes += size_t(keys) * cache.row_bytes;
    operations += 2.0 * double(keys * tokens * num_heads) * double(2 * latent + rope);
  }
}

// What is more than a share of the work is split; so there are few partial results.
void LatentPlan::make_items(double share) {
  const std::vector<LatentItem> whole = std::move(items);
  items.clear();
  for (LatentItem item : whole) {
    const int64_t begin = item.begin_key, end = item.end_key;
    const double keys = double((end - begin) * item.num_tokens * num_heads);
    if (end == begin || latent_split_end(begin) >= end ||
        2.0 * keys * double(2 * latent + rope) <= share) {
      items.push_back(item);
      continue;
    }
    const long first = num_items();
    for (int64_t key = begin; key < end; key = item.end_key) {
      item.begin_key = key;
      item.end_key = std::min(end, latent_split_end(key));
      item.partial = num_partials;
      num_partials += item.num_tokens * groups * partial_floats();
      items.push_back(item);
    }
    for (long group = 0; group < item.num_tokens * groups; ++group) {
      merges.push_back({first, num_items() - first, group});
    }
  }
}

}  // namespace perfuse
