// Which items a step's latent attention falls into: some tokens of a sequence, and either all keys
// that they see or one split of them. Both do the same arithmetic in the same order.
#include <string>

#include "../native/pool.h"
#include "latent.h"

namespace perfuse {
namespace {

constexpr int64_t kPositionMax = int64_t{1} << 40;
constexpr int64_t kRowsLimit = int64_t{1} << 31;
constexpr int64_t kSplitLeast = 512;
// Items that are smaller than this part of a thread's work need not be split.
constexpr double kShare = 0.25;

[[noreturn]] void refuse_sequence(long s, const char* name, int64_t value,
                                  const std::string& must) {
  refuse("sequence " + std::to_string(s) + ": " + name + " is " + std::to_string(value) +
         "; it must be " + must);
}

void check(const LatentCache& cache, const Sequences& all, long s) {
  const int64_t size = cache.block_size;
  const auto range = [&](const char* name, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most) {
      refuse_sequence(s, name, value, "from " + std::to_string(least) + " to " +
                                          std::to_string(most));
    }
  };
  range("start", all.starts[s], 0, kPositionMax);
  range("count", all.counts[s], 0, kRowsLimit);
  range("first_key", all.first_keys[s], 0, kPositionMax);
  if (all.first_keys[s] % size != 0) {
    refuse_sequence(s, "first_key", all.first_keys[s],
                    "a multiple of block_size, " + std::to_string(size));
  }
  const int64_t blocks = all.block_offsets[s + 1] - all.block_offsets[s];
  if (blocks < 0) refuse_sequence(s, "its number of blocks", blocks, "at least 0");
  range("end_key", all.end_keys[s], all.first_keys[s], all.first_keys[s] + blocks * size);
}

}  // namespace

int64_t latent_split_end(int64_t position) {
  int64_t size = kSplitLeast;
  // Sizes double where eight times the next one is reached: each is a power of two, and divides
  // where it begins.
  while (position >= 16 * size) size *= 2;
  return (position / size + 1) * size;
}

LatentPlan::LatentPlan(const LatentCache& cache, long num_heads_, const Sequences& all,
                       long window_)
    : num_heads(num_heads_), groups((num_heads_ + kGroupHeads - 1) / kGroupHeads), window(window_),
      num_blocks(cache.num_blocks), block_size(cache.block_size), latent(cache.latent),
      rope(cache.rope) {
  if (num_heads < 1 || num_heads > kLatentHeadsMax) {
    refuse("num_heads is " + std::to_string(num_heads) + "; it must be from 1 to " +
           std::to_string(kLatentHeadsMax));
  }
  if (window < 0) refuse("window is " + std::to_string(window) + "; it must be at least 0");
  blocks_.assign(all.blocks, all.blocks + all.block_offsets[all.count]);
  for (long s = 0; s < all.count; ++s) add_sequence(cache, all, s);
  make_items(kShare * operations / num_threads());
}

void LatentPlan::add_sequence(const LatentCache& cache, const Sequences& all, long s) {
  check(cache, all, s);
  const Sequence sequence{all.starts[s], all.counts[s], all.first_keys[s], all.end_keys[s],
                          num_rows, blocks_.data() + all.block_offsets[s]};
  sequences.push_back(sequence);
  num_rows += sequence.count;
  if (num_rows > kRowsLimit) refuse("a step has more than 2^31 query rows");
  if (sequence.count == 0) return;
  const int64_t last = sequence.start + sequence.count - 1;
  for (int64_t key = sequence.begin_of(sequence.start, window); key < sequence.end_of(last);
       key = (key / block_size + 1) * block_size) {
    const int32_t block = sequence.blocks[(key - sequence.first_key) / block_size];
    if (block < 0 || block >= num_blocks) {
      refuse_sequence(s, "a block", block, "from 0 to " + std::to_string(num_blocks - 1));
    }
  }
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
