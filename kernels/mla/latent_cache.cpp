// Blocks of latents: their layout, and rows in and out of it.
#include <cstring>

#include "../native/cpu.h"
#include "latent.h"

namespace perfuse {
namespace {

size_t row_size(Kind kind, long width) {
  return kind == I8 ? size_t(width) + 2 * sizeof(float) : size_t(width) * (kind == F32 ? 4 : 2);
}

// Refuses sizes before memory is asked for.
size_t layer_size(Kind kind, long block_size, long latent, long rope) {
  checked_size("latent", latent, 16, kLatentMax, 16);
  checked_size("rope", rope, 16, kLatentMax, 16);
  return size_t(block_size) * row_size(kind, latent + rope);
}

float widened(uint16_t code) {
  const uint32_t bits = uint32_t{code} << 16;
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

}  // namespace

LatentCache::LatentCache(Kind kind, long num_blocks, long block_size, long num_layers, long latent,
                         long rope)
    : PagedCache(kind, num_blocks, block_size, num_layers,
                 layer_size(kind, block_size, latent, rope)),
      latent(latent), rope(rope), row_bytes(row_size(kind, latent + rope)) {}

void write_latents(const LatentCache& cache, long layer, const int32_t* blocks,
                   const int32_t* offsets, const float* latents, long latent_stride,
                   const float* ropes, long rope_stride, long begin, long end) {
  const Table& table = kernels();
  for (long row = begin; row < end; ++row) {
    char* to = cache.row(blocks[row], layer, offsets[row]);
    const float* latent = latents + row * latent_stride;
    const float* rope = ropes + row * rope_stride;
    if (cache.kind == F32) {
      std::memcpy(to, latent, size_t(cache.latent) * 4);
      std::memcpy(to + cache.latent * 4, rope, size_t(cache.rope) * 4);
    } else if (cache.kind == BF16) {
      uint16_t* codes = reinterpret_cast<uint16_t*>(to);
      table.to_bf16(latent, cache.latent, codes);
      table.to_bf16(rope, cache.rope, codes + cache.latent);
    } else {
      int8_t* codes = reinterpret_cast<int8_t*>(to);
      float* scales = reinterpret_cast<float*>(to + cache.width());
      int32_t sum;
      table.to_int8(latent, cache.latent, cache.latent, codes, scales, &sum);
      table.to_int8(rope, cache.rope, cache.rope, codes + cache.latent, scales + 1, &sum);
    }
  }
}

void read_latent(const LatentCache& cache, long layer, long block, long slot, float* latent,
                 float* rope) {
  const char* from = cache.row(block, layer, slot);
  for (long c = 0; c < cache.width(); ++c) {
    float& out = c < cache.latent ? latent[c] : rope[c - cache.latent];
    if (cache.kind == F32) {
      out = reinterpret_cast<const float*>(from)[c];
    } else if (cache.kind == BF16) {
      out = widened(reinterpret_cast<const uint16_t*>(from)[c]);
    } else {
      const float* scales = reinterpret_cast<const float*>(from + cache.width());
      out = float(reinterpret_cast<const int8_t*>(from)[c]) * scales[c < cache.latent ? 0 : 1];
    }
  }
}

}  // namespace perfuse
