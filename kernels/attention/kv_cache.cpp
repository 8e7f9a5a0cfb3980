// Blocks of keys and values: their layout, and rows in and out of it.
#include <cstring>

#include "../native/cpu.h"
#include "attention.h"

namespace perfuse {
namespace {

size_t half_size(Kind kind, long head_dim) {
  return size_t(kTileTokens * head_dim) * (kind == F32 ? 4 : kind == BF16 ? 2 : 1);
}

size_t tile_size(Kind kind, long head_dim) {
  return 2 * half_size(kind, head_dim) + (kind == I8 ? 2 * kTileTokens * sizeof(float) : 0);
}

// Refuses sizes before memory is asked for.
size_t layer_size(Kind kind, long block_size, long num_kv_heads, long head_dim) {
  checked_size("num_kv_heads", num_kv_heads, 1, 4096, 1);
  checked_size("head_dim", head_dim, 16, kHeadDimMax, 16);
  return size_t(num_kv_heads) * size_t(block_size / kTileTokens) * tile_size(kind, head_dim);
}

template <class T, int kPer>
void write_tile(char* tile, size_t half_bytes, long lane, long head_dim, const T* k, const T* v) {
  T* keys = reinterpret_cast<T*>(tile) + lane * kPer;
  for (long c = 0; c < head_dim; c += kPer, keys += 16 * kPer) {
    for (int i = 0; i < kPer; ++i) keys[i] = k[c + i];
  }
  T* values = reinterpret_cast<T*>(tile + half_bytes) + lane / kPer * head_dim * kPer + lane % kPer;
  for (long c = 0; c < head_dim; ++c) values[c * kPer] = v[c];
}

template <class T, int kPer, class Value>
void read_tile(const char* tile, size_t half_bytes, long lane, long head_dim, Value value, float* k,
               float* v) {
  const T* keys = reinterpret_cast<const T*>(tile) + lane * kPer;
  const T* values =
      reinterpret_cast<const T*>(tile + half_bytes) + lane / kPer * head_dim * kPer + lane % kPer;
  for (long c = 0; c < head_dim; ++c) {
    k[c] = value(keys[c / kPer * 16 * kPer + c % kPer], true);
    v[c] = value(values[c * kPer], false);
  }
}

}  // namespace

KvCache::KvCache(Kind kind, long num_blocks, long block_size, long num_layers, long num_kv_heads,
                 long head_dim)
    : PagedCache(kind, num_blocks, block_size, num_layers,
                 layer_size(kind, block_size, num_kv_heads, head_dim)),
      num_kv_heads(num_kv_heads), head_dim(head_dim), half_bytes(half_size(kind, head_dim)),
      tile_bytes(tile_size(kind, head_dim)), head_bytes(layer_bytes / size_t(num_kv_heads)) {}

void write_rows(const KvCache& cache, long layer, const int32_t* blocks, const int32_t* offsets,
                const float* k, long k_stride, const float* v, long v_stride, long begin,
                long end) {
  const Table& table = kernels();
  const long dim = cache.head_dim;
  for (long row = begin; row < end; ++row) {
    const long lane = offsets[row] % kTileTokens;
    for (long head = 0; head < cache.num_kv_heads; ++head) {
      char* tile = cache.tile(blocks[row], layer, head, offsets[row] / kTileTokens);
      const float* key = k + row * k_stride + head * dim;
      const float* value = v + row * v_stride + head * dim;
      if (cache.kind == F32) {
        write_tile<float, 1>(tile, cache.half_bytes, lane, dim, key, value);
      } else if (cache.kind == BF16) {
        uint16_t codes[2][kHeadDimMax];
        table.to_bf16(key, dim, codes[0]);
        table.to_bf16(value, dim, codes[1]);
        write_tile<uint16_t, 2>(tile, cache.half_bytes, lane, dim, codes[0], codes[1]);
      } else {
        uint8_t codes[2][kHeadDimMax];
        int32_t sum;
        float* scales = reinterpret_cast<float*>(tile + 2 * cache.half_bytes) + lane;
        table.to_int8(key, dim, dim, reinterpret_cast<int8_t*>(codes[0]), scales, &sum);
        table.to_int8(value, dim, dim, reinterpret_cast<int8_t*>(codes[1]), scales + kTileTokens,
                      &sum);
        for (long c = 0; c < dim; ++c) codes[0][c] ^= 0x80;
        write_tile<uint8_t, 4>(tile, cache.half_bytes, lane, dim, codes[0], codes[1]);
      }
    }
  }
}

void read_slot(const KvCache& cache, long layer, long block, long offset, long head, float* k,
               float* v) {
  const long lane = offset % kTileTokens, dim = cache.head_dim;
  const char* tile = cache.tile(block, layer, head, offset / kTileTokens);
  const size_t half = cache.half_bytes;
  if (cache.kind == F32) {
    read_tile<float, 1>(tile, half, lane, dim, [](float x, bool) { return x; }, k, v);
  } else if (cache.kind == BF16) {
    const auto widen = [](uint16_t code, bool) {
      const uint32_t bits = uint32_t{code} << 16;
      float x;
      std::memcpy(&x, &bits, 4);
      return x;
    };
    read_tile<uint16_t, 2>(tile, half, lane, dim, widen, k, v);
  } else {
    const float* scales = reinterpret_cast<const float*>(tile + 2 * half) + lane;
    const float key_scale = scales[0], value_scale = scales[kTileTokens];
    const auto widen = [=](uint8_t code, bool is_key) {
      return is_key ? float(int(code) - 128) * key_scale : float(int8_t(code)) * value_scale;
    };
    read_tile<uint8_t, 4>(tile, half, lane, dim, widen, k, v);
  }
}

}  // namespace perfuse
