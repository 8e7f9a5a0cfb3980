#include "decoder.h"

namespace perfuse {
namespace {

std::vector<int64_t> token_positions(const Sequences& sequences) {
  std::vector<int64_t> positions;
  for (long s = 0; s < sequences.count; ++s) {
    for (int64_t i = 0; i < sequences.counts[s]; ++i) positions.push_back(sequences.starts[s] + i);
  }
  return positions;
}

}  // namespace

StepPlan::StepPlan(const Decoder& decoder, const KvCache& cache, const Sequences& sequences)
    : attention(cache, decoder.num_heads, sequences, decoder.window), context(decoder.positions),
      positions(token_positions(sequences)) {
  if (cache.num_kv_heads != decoder.num_kv_heads || cache.head_dim != decoder.head_dim) {
    refuse("the cache has " + std::to_string(cache.num_kv_heads) + " KV heads of " +
           std::to_string(cache.head_dim) + "; the decoder has " +
           std::to_string(decoder.num_kv_heads) + " of " + std::to_string(decoder.head_dim));
  }
  blocks.reserve(positions.size());
  slots.reserve(positions.size());
  size_t row = 0;
  for (long s = 0; s < sequences.count; ++s) {
    const int32_t* table = sequences.blocks + sequences.block_offsets[s];
    for (int64_t i = 0; i < sequences.counts[s]; ++i, ++row) {
      const int64_t position = positions[row];
      if (position >= decoder.positions) {
        refuse("position " + std::to_string(position) + " is past the context of " +
               std::to_string(decoder.positions) + " tokens");
      }
      const int64_t place = position - sequences.first_keys[s];
      blocks.push_back(table[place / cache.block_size]);
      slots.push_back(int32_t(place % cache.block_size));
    }
  }
}

}  // namespace perfuse
