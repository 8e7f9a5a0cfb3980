// What an instruction set offers for absorbed latent attention; kernels/mla/inner.h is all of it.
#pragma once
#include <stdint.h>

namespace perfuse {

constexpr int kGroupHeads = 16;    // heads of a group: one a lane
constexpr int kStepKeys = 16;      // keys of a step of scores: within one block of the cache
constexpr int kStripChannels = 32; // channels of a strip of latents
constexpr long kLatentTile = 256;   // keys of a tile: they share one rebasing
constexpr int kLatentKinds = 2;    // fp32, bf16

// Of a group's 16 heads: the largest score so far, and the sum of exp(score - most).
struct alignas(64) LatentState {
  float most[kGroupHeads], total[kGroupHeads];
};

// Queries, probabilities and strips are of units of 4 bytes: 1 fp32, or of bf16 2 channels or keys;
// or, where bf16 is multiplied as fp32, 1 that is widened.
struct LatentTable {
  int per[kLatentKinds];  // channels or keys of a unit
  long piece_keys;        // that meet one copy of their latents: even, up to kLatentTile
  // out[key][16] = rows[key] . queries for 16 keys whose rows lie `stride` bytes apart; queries are
  // [unit][16 heads]. Asks for as much of `ahead` as 16 rows are.
  void (*scores[kLatentKinds])(const char* rows, long stride, const uint32_t* queries, long units,
                               const char* ahead, float* out);
  // Scores [key][16] of keys begin .. end - 1 to probabilities [unit of keys][16], a unit's other
  // key getting 0. factors[16] is what sums made before are to be multiplied with.
  void (*softmax[kLatentKinds])(const float* scores, long begin, long end, float scale,
                                LatentState* state, float* factors, uint32_t* probabilities);
  // Copies 32 channels of the rows of `units` units of keys: [unit][32 channels].
  void (*strip[kLatentKinds])(const char* const* rows, long channel, long units, uint32_t* out);
  // out[head * stride + 0 .. 31] = itself * factors[head] + probabilities . strip, over keys
  // begin .. end - 1; not empty. Without factors, out is not read. No other key's latents matter.
  void (*values[kLatentKinds])(const uint32_t* strip, const uint32_t* probabilities, long begin,
                               long end, const float* factors, float* out, long stride);
  // The same, of the 32 channels from `channel` on of rows as they lie, which saves the strip where
  // few groups meet it; nullptr where it saves nothing. Reads past `latent`, within the row.
  void (*row_values[kLatentKinds])(const char* const* rows, long channel,
                                   const uint32_t* probabilities, long begin, long end,
                                   const float* factors, float* out, long stride);
  // Joins the state of later keys to that of earlier ones; both are to be multiplied with factors.
  void (*fold)(LatentState* state, const LatentState* next, float* factors, float* next_factors);
  // out[i] = out[i] * factor + in[i] * in_factor; count is a multiple of 16.
  void (*blend)(const float* in, float in_factor, long count, float factor, float* out);
  // int8 codes to bf16, as codes * scale; count is a multiple of 16.
  void (*widen)(const int8_t* codes, float scale, long count, uint16_t* out);
  // out[i] = in[i] * factor; may be in place.
  void (*scaled)(const float* in, float factor, long count, float* out);
};

}  // namespace perfuse
