// Absorbed multi-head latent attention, paged: what another native op calls inside its own parallel
// region.
//
//   LatentCache cache(BF16, blocks, 64, layers, 512, 64);       // once
//   LatentPlan plan(cache, heads, sequences, window);           // once a step
//   write_latents(cache, layer, ..., begin, end);               // phase 1: any split of rows
//   attend_latents(cache, layer, plan, item, call);             // phase 2: plan.num_items()
//   merge_latents(plan, item, call);                            // phase 3: plan.num_merges()
//
// Every query head meets the same row [latent | rope] of a key: scores are products with all of it,
// outputs are sums of its latent part (DeepSeek-V2, arXiv 2405.04434, section 2.1). Nothing here
// starts threads or waits, nor allocates, but for the workspace that a thread takes with its first
// item and keeps: about 1 MiB at 128 heads in bf16.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "../paged/paged.h"

namespace perfuse {

constexpr long kLatentMax = 4096;     // channels of latent, and of rope
constexpr long kLatentHeadsMax = 1024;
constexpr long kLatentRows = 128;     // query rows (tokens x heads) of an item, or one token's

// Rows of all layers in blocks of tokens:
//
//   block   [layer][slot][row]
//   row     latent, then rope, as fp32 or bf16; int8: codes of both, then their two fp32 scales
//
// A row is what one token adds to a layer: the same bytes on every instruction set.
class LatentCache : public PagedCache {
 public:
  // Throws std::invalid_argument on sizes that it cannot have, std::bad_alloc on too large ones.
  LatentCache(Kind kind, long num_blocks, long block_size, long num_layers, long latent, long rope);
  const char* what() const override { return "latent cache"; }
  char* row(long block, long layer, long slot) const {
    return this->block(block) + size_t(layer) * layer_bytes + size_t(slot) * row_bytes;
  }
  long width() const { return latent + rope; }

  const long latent, rope;
  const size_t row_bytes;
};

// Some tokens of one sequence, all their heads, over all keys that they see or over one split.
struct LatentItem {
  int32_t sequence;
  int64_t first_token, num_tokens;  // of the sequence's new tokens
  int64_t begin_key, end_key;       // positions that any of them sees, of a split if it is one
  int64_t partial;                  // where its partial results begin, in floats; -1: none
};

// The splits of one group's query rows, which several items have computed.
struct LatentMerge {
  long first_item, num_items;
  long group;  // of the item: token by token
};

// Splits begin at fixed positions, so that bits depend on no thread or chunk: 512 keys each up to
// 8 Ki, then twice as long whenever the position has doubled. So of n keys none has more than an
// eighth, and partial results do not grow with n but with its logarithm.
int64_t latent_split_end(int64_t position);

// Which items there are, once a step for all layers of one window.
class LatentPlan : public PagedPlan {
 public:
  LatentPlan(const LatentCache& cache, long num_heads, const Sequences& sequences, long window);
  const char* what() const override { return "latent plan"; }

  long num_items() const { return long(items.size()); }
  long num_merges() const { return long(merges.size()); }

  const long groups, latent, rope;  // groups: of 16 heads, the last one padded
  double operations = 0;            // that a layer takes: two for a multiply-add
  std::vector<LatentItem> items;
  std::vector<LatentMerge> merges;

  // Channels of latent in whole strips: the stride of sums.
  long stride() const { return (latent + kStripChannels - 1) / kStripChannels * kStripChannels; }
  // Of a group in a split: its state and its sums.
  long partial_floats() const { return 2 * kGroupHeads + kGroupHeads * stride(); }

 private:
  void add_items(const LatentCache& cache, long s);
  void make_items(double share);
};

// One layer's queries and results. Strides are in floats, from token to token; heads lie one after
// another: of q latent + rope floats each, of out latent.
struct LatentCall {
  const float* q;
  long q_stride;
  float* out;
  long out_stride;
  float* lse;       // [token][head], nullptr where nobody asks
  float scale;      // of the scores, > 0
  float* partials;  // plan.partial_bytes()
};

// Rows begin .. end - 1 of new tokens into slots (blocks[row], offsets[row]). Strides are in
// floats, from token to token. Slots must be within the cache, and distinct.
void write_latents(const LatentCache& cache, long layer, const int32_t* blocks,
                   const int32_t* offsets, const float* latents, long latent_stride,
                   const float* ropes, long rope_stride, long begin, long end);

// What a slot's bytes stand for: latent and rope floats.
void read_latent(const LatentCache& cache, long layer, long block, long slot, float* latent,
                 float* rope);

// Item 0 .. num_items - 1; the keys are written. Throws std::bad_alloc, before it writes anything,
// where the thread's workspace cannot be had.
void attend_latents(const LatentCache& cache, long layer, const LatentPlan& plan, long item,
                    const LatentCall& call);

// Item 0 .. num_merges - 1; all of attend_latents is done.
void merge_latents(const LatentPlan& plan, long item, const LatentCall& call);

}  // namespace perfuse
