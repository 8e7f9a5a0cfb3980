// What the inner loops of attention take: the part of attention that differs by instruction set.
#pragma once
#include <cstdint>

namespace perfuse {

constexpr int kChunkTiles = 4;                  // tiles of 16 tokens that share one rebasing
constexpr int kChunkTokens = 16 * kChunkTiles;   // at positions that are multiples of it
constexpr float kUnseen = -3.0e38f;              // a score below all others, and finite

// Keys and values of the chunk's tiles. A tile that is not seen points at any that is whole. Values
// (for int8 their scales) that are NaN or infinite make results NaN, also of rows that do not see
// them.
struct Chunk {
  const char* keys[kChunkTiles];
  const char* values[kChunkTiles];
  const float* key_scales[kChunkTiles];    // int8 only: 16 each
  const float* value_scales[kChunkTiles];
  const char* next[kChunkTiles];           // tiles that come after these: to be asked for
  long head_dim;                           // a multiple of 16
};

// Query rows, up to 12, and what they have seen so far. Scores are in powers of two: factors hold
// scale x log2(e), for int8 also the query's own scale; most is the largest of score x factor.
//
// A unit of queries is one word of 4 bytes as in the cache, or, where products take wider numbers,
// two: of bf16 both channels as fp32; of int8 the even channels and the odd ones as 16 bits each.
struct QueryBlock {
  const uint32_t* units;     // [channel unit][word][row]
  const int32_t* code_sums;  // [row], int8 only
  const float* factors;      // [row], >= 0
  const int32_t* begins;     // [row] slots begins .. ends - 1 of the chunk are seen
  const int32_t* ends;
  float* most;               // [row]
  float* lanes;              // [row][16] sums of the weights, by lane
  float* sums;               // [row][head_dim] of weights x values
};

using AttendChunk = void (*)(const Chunk& chunk, const QueryBlock& block);

}  // namespace perfuse
