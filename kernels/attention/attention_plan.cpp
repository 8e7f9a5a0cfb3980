// Which items a step's attention falls into.
//
// Few query rows (decode, a short prefill): an item is one span of keys, partial results are merged
// afterwards, so that one long sequence keeps all threads busy. Many query rows: an item is a tile
// of them with all the spans that it sees, merged as it goes. Both do the same arithmetic in the
// same order.
#include <string>

#include "attention.h"

namespace perfuse {
namespace {

constexpr int64_t kPositionMax = int64_t{1} << 40;
constexpr int64_t kRowsLimit = int64_t{1} << 31;

[[noreturn]] void refuse_sequence(long s, const char* name, int64_t value,
                                  const std::string& must) {
  refuse("sequence " + std::to_string(s) + ": " + name + " is " + std::to_string(value) +
         "; it must be " + must);
}

void check(const KvCache& cache, const Sequences& all, long s) {
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

AttentionPlan::AttentionPlan(const KvCache& cache, long num_heads_, const Sequences& all,
                             long window_)
    : num_heads(num_heads_), group(num_heads_ / cache.num_kv_heads), window(window_),
      num_blocks(cache.num_blocks), block_size(cache.block_size),
      num_kv_heads(cache.num_kv_heads), head_dim(cache.head_dim) {
  if (num_heads < 1 || num_heads % num_kv_heads != 0) {
    refuse("num_heads is " + std::to_string(num_heads) + "; it must be a multiple of the cache's " +
           std::to_string(num_kv_heads) + " KV heads");
  }
  if (window < 0) refuse("window is " + std::to_string(window) + "; it must be at least 0");
  blocks_.assign(all.blocks, all.blocks + all.block_offsets[all.count]);
  for (long s = 0; s < all.count; ++s) {
    check(cache, all, s);
    sequences.push_back({all.starts[s], all.counts[s], all.first_keys[s], all.end_keys[s], num_rows,
                         blocks_.data() + all.block_offsets[s]});
    num_rows += all.counts[s];
    if (num_rows > kRowsLimit) refuse("a step has more than 2^31 query rows");
    add_sequence(cache, s);
  }
}

void AttentionPlan::add_sequence(const KvCache& cache, long s) {
  const Sequence& sequence = sequences.back();
  if (sequence.count == 0) return;
  const int64_t last = sequence.start + sequence.count - 1;
  for (int64_t key = sequence.begin_of(sequence.start, window); key < sequence.end_of(last);
       key = (key / block_size + 1) * block_size) {
    const int32_t block = sequence.blocks[(key - sequence.first_key) / block_size];
    if (block < 0 || block >= cache.num_blocks) {
      refuse_sequence(s, "a block", block, "from 0 to " + std::to_string(cache.num_blocks - 1));
    }
  }
  // The evenest parts of a group that is larger than a tile, and as many tokens as then fit.
  const long parts = (group + kQueryRowsMax - 1) / kQueryRowsMax;
  const long tokens = std::max(1L, kQueryRowsMax / ((group + parts - 1) / parts));
  const long tiles = (sequence.count + tokens - 1) / tokens;
  for (long tile = 0; tile < tiles; ++tile) {
    const int64_t first = sequence.count * tile / tiles;
    const int64_t end = sequence.count * (tile + 1) / tiles;
    const int64_t begin_key = sequence.begin_of(sequence.start + first, window);
    const int64_t end_key = sequence.end_of(sequence.start + end - 1);
    const int64_t span = begin_key / kSpan;
    const int64_t spans = end_key > begin_key ? (end_key - 1) / kSpan + 1 - span : 0;
    const bool split = tiles == 1 && spans > 1;
    for (long part = 0; part < num_kv_heads * parts; ++part) {
      const long head = part / parts, begin = group * (part % parts) / parts;
      const long heads = group * (part % parts + 1) / parts - begin;
      AttentionItem item{int32_t(s), int32_t(head), int32_t(head * group + begin), int32_t(heads),
                         first, end - first, span, spans, -1};
      if (split) {
        item.partial = num_partials;
        num_partials += spans * item.num_rows() * partial_floats();
      }
      (split ? merges : items).push_back(item);
      kv_bytes += size_t(std::max(int64_t{0}, end_key - begin_key) / kTileTokens) *
                  cache.tile_bytes;
    }
    if (!split) continue;
    // All heads of a span one after another: they lie side by side in each block.
    const size_t last = merges.size();
    for (int64_t i = 0; i < spans; ++i) {
      for (size_t m = last - size_t(num_kv_heads * parts); m < last; ++m) {
        AttentionItem item = merges[m];
        item.first_span += i;
        item.num_spans = 1;
        item.partial += i * item.num_rows() * partial_floats();
        items.push_back(item);
      }
    }
  }
}

}  // namespace perfuse
