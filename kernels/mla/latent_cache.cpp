// Blocks of latents: their layout, and rows in and out of it.
#include <cstring>
#include <string>

#include "../native/cpu.h"
#include "latent.h"

namespace perfuse {
namespace {

constexpr long kCountMax = long{1} << 31;

long checked(const char* name, long value, long least, long most, long step) {
  if (value < least || value > most || value % step != 0) {
    refuse(std::string(name) + " is " + std::to_string(value) + "; it must be " +
           (step > 1 ? "a multiple of " + std::to_string(step) + " " : "") + "from " +
           std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
}

Kind checked(Kind kind) {
  if (kind == I4) refuse("kind is int4; a cache takes fp32, bf16 or int8");
  return kind;
}

size_t row_size(Kind kind, long width) {
  return kind == I8 ? size_t(width) + 2 * sizeof(float) : size_t(width) * (kind == F32 ? 4 : 2);
}

// A cache that no address space holds must be refused before it is multiplied out.
size_t total_bytes(size_t block_bytes, long num_blocks) {
  if (size_t(num_blocks) > (size_t{1} << 46) / block_bytes) throw std::bad_alloc();
  return size_t(num_blocks) * block_bytes;
}

float widened(uint16_t code) {
  const uint32_t bits = uint32_t{code} << 16;
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

}  // namespace

LatentCache::LatentCache(Kind kind_, long num_blocks_, long block_size_, long num_layers_,
                         long latent_, long rope_)
    : kind(checked(kind_)), num_blocks(checked("num_blocks", num_blocks_, 1, kCountMax - 1, 1)),
      block_size(checked("block_size", block_size_, kStepKeys, 256, kStepKeys)),
      num_layers(checked("num_layers", num_layers_, 1, 65536, 1)),
      latent(checked("latent", latent_, 16, kLatentMax, 16)),
      rope(checked("rope", rope_, 16, kLatentMax, 16)), row_bytes(row_size(kind_, latent_ + rope_)),
      layer_bytes(size_t(block_size_) * row_bytes), block_bytes(size_t(num_layers_) * layer_bytes),
      memory(total_bytes(block_bytes, num_blocks_)) {}

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
