// Paged attention: what another native op calls inside its own parallel region.
//
//   KvCache cache(BF16, blocks, 16, layers, kv_heads, head_dim);       // once
//   AttentionPlan plan(cache, heads, sequences, window);               // once a step
//   write_rows(cache, layer, ..., begin, end);                    // phase 1: any split of rows
//   attend_item(cache, layer, plan, item, call);                       // phase 2: plan.items
//   merge_item(plan, item, call);                                      // phase 3: plan.merges
//
// Nothing here allocates after the plan is made, starts threads or waits. Local scratch is on the
// stack: up to 256 KiB an item.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "../paged/paged.h"

namespace perfuse {

constexpr long kTileTokens = kBlockStep;  // tokens of a tile: one a lane
constexpr long kHeadDimMax = 256;
constexpr long kSpan = 512;         // keys of a span: at fixed positions, one chain each
constexpr long kQueryRowsMax = 48;  // query rows (tokens x heads of a group) of an item

// Keys and values of all layers in blocks of tokens:
//
//   block   [layer][kv head][tile of 16 tokens]
//   tile    K [channel unit][16 tokens][4 bytes], V [token unit][channel][4 bytes],
//           int8: 16 scales of K, 16 scales of V
//
// A unit is 1 fp32, 2 bf16 or 4 int8; int8 codes are stored 128 too large. So tokens are lanes for
// the scores, channels are lanes for the sums, and nothing is summed across lanes; one sequential
// run a block, layer and head. The same bytes on every instruction set.
class KvCache : public PagedCache {
 public:
  // Throws std::invalid_argument on sizes that it cannot have, std::bad_alloc on too large ones.
  KvCache(Kind kind, long num_blocks, long block_size, long num_layers, long num_kv_heads,
          long head_dim);
  const char* what() const override { return "kv cache"; }
  // Tile t of a block holds its slots 16 t .. 16 t + 15.
  char* tile(long block, long layer, long head, long t) const {
    return this->block(block) + size_t(layer) * layer_bytes + size_t(head) * head_bytes +
           size_t(t) * tile_bytes;
  }

  const long num_kv_heads, head_dim;
  const size_t half_bytes;  // K of a tile; V takes as many
  const size_t tile_bytes, head_bytes;
};

// Some query heads of one KV head for some tokens of one sequence, over some spans of its keys.
struct AttentionItem {
  int32_t sequence, kv_head;
  int32_t first_head, num_heads;    // query heads, all of kv_head's group
  int64_t first_token, num_tokens;  // of the sequence's new tokens
  int64_t first_span, num_spans;    // span s holds positions s kSpan .. s kSpan + kSpan - 1
  int64_t partial;                  // where its first span's results begin, in floats; -1: none

  long num_rows() const { return num_heads * num_tokens; }  // [token][head]
};

// Which items there are, once a step for all layers of one window.
class AttentionPlan : public PagedPlan {
 public:
  AttentionPlan(const KvCache& cache, long num_heads, const Sequences& sequences, long window);
  const char* what() const override { return "attention plan"; }

  long num_items() const { return long(items.size()); }
  long num_merges() const { return long(merges.size()); }

  const long group, num_kv_heads, head_dim;
  std::vector<AttentionItem> items, merges;

  // Of a row in a span: its sums, the largest score, the sum of weights; a multiple of 16.
  long partial_floats() const { return head_dim + 16; }

 private:
  void add_items(const KvCache& cache, long s);
};

// One layer's queries and results. Strides are in floats, from token to token; heads lie one after
// another, head_dim floats each.
struct AttentionCall {
  const float* q;
  long q_stride;
  float* out;
  long out_stride;
  float* lse;       // [token][head], nullptr where nobody asks
  float scale;      // > 0
  float* partials;  // plan.partial_bytes()
};

// Rows begin .. end - 1 of new tokens' keys and values into slots (blocks[row], offsets[row]).
// Strides are in floats, from token to token. Slots must be within the cache, and distinct.
void write_rows(const KvCache& cache, long layer, const int32_t* blocks, const int32_t* offsets,
                const float* k, long k_stride, const float* v, long v_stride, long begin, long end);

// One slot of one KV head as fp32, head_dim each: for tests and tools.
void read_slot(const KvCache& cache, long layer, long block, long offset, long head, float* k,
               float* v);

// Item 0 .. num_items - 1; the keys are written.
void attend_item(const KvCache& cache, long layer, const AttentionPlan& plan, long item,
                 const AttentionCall& call);

// Item 0 .. num_merges - 1; all of attend_item is done.
void merge_item(const AttentionPlan& plan, long item, const AttentionCall& call);

}  // namespace perfuse
