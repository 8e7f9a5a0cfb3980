// Which items a step's attention falls into.
//
// Few query rows (decode, a short prefill): an item is one span of keys or a few, and spans are
// merged afterwards, so that one long sequence keeps all threads busy. Many query rows: an item is
// a tile of them with all the spans that it sees, merged as it goes. Both do the same arithmetic in
// the same order.
#include <string>

#include "../native/pool.h"
#include "attention.h"

namespace perfuse {
namespace {

// Spans of an item: several convert its queries once, as long as there are items to share.
constexpr int64_t kSpansMost = 4;
constexpr int64_t kItemsOfThread = 16;

}  // namespace

AttentionPlan::AttentionPlan(const KvCache& cache, long num_heads, const Sequences& all,
                             long window)
    : PagedPlan(cache, num_heads, all, window), group(num_heads / cache.num_kv_heads),
      num_kv_heads(cache.num_kv_heads), head_dim(cache.head_dim) {
  if (num_heads < 1 || num_heads % num_kv_heads != 0) {
    refuse("num_heads is " + std::to_string(num_heads) + "; it must be a multiple of the cache's " +
           std::to_string(num_kv_heads) + " KV heads");
  }
  for (long s = 0; s < all.count; ++s) add_items(cache, s);
}

void AttentionPlan::add_items(const KvCache& cache, long s) {
  const Sequence& sequence = sequences[size_t(s)];
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
    // All heads of some spans one after another: they lie side by side in each block.
    const size_t last = merges.size();
    const int64_t shared = spans * num_kv_heads * parts / (kItemsOfThread * num_threads());
    const int64_t most = std::clamp(shared, int64_t{1}, kSpansMost);
    for (int64_t i = 0; i < spans; i += most) {
      for (size_t m = last - size_t(num_kv_heads * parts); m < last; ++m) {
        AttentionItem item = merges[m];
        item.first_span += i;
        item.num_spans = std::min(most, spans - i);
        item.partial += i * item.num_rows() * partial_floats();
        items.push_back(item);
      }
    }
  }
}

}  // namespace perfuse
