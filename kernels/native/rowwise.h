// What is done to rows between products, and the probes; included like products.h.
#pragma once
#include "table.h"

namespace {

using perfuse::Kind;

// exp by 2^n x a polynomial on [-ln2/2, ln2/2], degree 6: 2e-7 relative. Below -104 it is 0 or the
// smallest subnormal, above 88.7 infinity; NaN stays NaN (max and min return their second
// argument).
inline VF exponential(VF x) {
  const VF bounded = max(splat(-104.0f), min(splat(89.0f), x));
  const VF n = round(mul(bounded, splat(1.44269504f)));
  VF r = fma(n, splat(-0.693359375f), bounded);
  r = fma(n, splat(2.12194440e-4f), r);
  VF p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(mul(p, r), r, add(r, splat(1.0f)));
  return scale_by_power(p, n);
}

void silu_product(const float* in, int rows, float* out, long stride) {
  for (int row = 0; row < rows; ++row, in += kColumns, out += stride) {
    const VF gate = load(in), up = load(in + 16);
    const VF below = add(splat(1.0f), exponential(sub(splat(0.0f), gate)));
    store(out, mul(div(gate, below), up));
  }
}

// A tail shorter than a vector goes through a padded copy.
template <class Step>
inline void by_sixteen(long count, Step step) {
  long i = 0;
  for (; i + 16 <= count; i += 16) step(i, 16);
  if (i < count) step(i, int(count - i));
}

inline VF load_part(const float* p, int lanes) {
  if (lanes == 16) return load(p);
  float padded[16] = {};
  __builtin_memcpy(padded, p, size_t(lanes) * 4);
  return load(padded);
}

inline void store_part(float* p, VF v, int lanes) {
  if (lanes == 16) return store(p, v);
  float padded[16];
  store(padded, v);
  __builtin_memcpy(p, padded, size_t(lanes) * 4);
}

void to_bf16(const float* in, long count, uint16_t* out) {
  by_sixteen(count, [&](long i, int lanes) {
    uint16_t padded[16];
    store_bf16(padded, load_part(in + i, lanes));
    __builtin_memcpy(out + i, padded, size_t(lanes) * 2);
  });
}

void to_int8(const float* in, long count, long group, int8_t* out, float* scales, int32_t* sums) {
  for (long begin = 0, g = 0; begin < count; begin += group, ++g) {
    const long size = begin + group < count ? group : count - begin;
    VF most = splat(0.0f), nan = splat(0.0f);
    by_sixteen(size, [&](long i, int lanes) {
      const VF x = load_part(in + begin + i, lanes);
      most = max(magnitude(x), most);
      nan = add(nan, sub(x, x));  // max forgets NaN: 0, or NaN where x is NaN or infinite
    });
    const float largest = maximum(most);
    // Divided, not multiplied by 1 / 127: the reference in numpy has the same bits.
    scales[g] = largest / 127.0f + sum(nan);
    const float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
    VI total = splat_int(0);
    by_sixteen(size, [&](long i, int lanes) {
      VF x = round(mul(load_part(in + begin + i, lanes), splat(inverse)));
      x = min(splat(127.0f), max(splat(-127.0f), x));
      int8_t padded[16];
      store_int8(padded, x);
      __builtin_memcpy(out + begin + i, padded, size_t(lanes));
      total = add_int(total, load_int8(padded));
    });
    sums[g] = sum_int(total);
  }
}

void from_int8(const int8_t* codes, const float* scales, long count, float* out) {
  by_sixteen(count, [&](long i, int lanes) {
    int8_t padded[16] = {};
    __builtin_memcpy(padded, codes + i, size_t(lanes));
    // 16 divides the group, so sixteen channels share a scale.
    store_part(out + i, mul(to_float(load_int8(padded)), splat(scales[i / perfuse::kGroup])),
               lanes);
  });
}

// Rows in order, each product and each sum rounded by itself: the same as decoding and adding.
void sum_int8(const int8_t* const* codes, const float* const* scales, int rows, long count,
              float* out) {
  by_sixteen(count, [&](long i, int lanes) {
    VF total = splat(0.0f);
    for (int row = 0; row < rows; ++row) {
      int8_t padded[16] = {};
      __builtin_memcpy(padded, codes[row] + i, size_t(lanes));
      const VF scale = splat(scales[row][i / perfuse::kGroup]);
      total = add(total, mul(to_float(load_int8(padded)), scale));
    }
    store_part(out + i, total, lanes);
  });
}

void add_scaled(const float* in, float weight, long count, float* out) {
  const VF w = splat(weight);
  by_sixteen(count, [&](long i, int lanes) {
    store_part(out + i, fma(load_part(in + i, lanes), w, load_part(out + i, lanes)), lanes);
  });
}

void add_rows(const float* in, long count, float* out) {
  by_sixteen(count, [&](long i, int lanes) {
    store_part(out + i, add(load_part(in + i, lanes), load_part(out + i, lanes)), lanes);
  });
}

void add_on_grid(const float* in, float weight, long count, double* out) {
  long i = 0;
  for (; i + 8 <= count; i += 8) add_grid(in + i, weight, out + i);
  if (i == count) return;
  float padded_in[8] = {};
  double padded_out[8] = {};
  const size_t left = size_t(count - i);
  __builtin_memcpy(padded_in, in + i, left * 4);
  __builtin_memcpy(padded_out, out + i, left * 8);
  add_grid(padded_in, weight, padded_out);
  __builtin_memcpy(out + i, padded_out, left * 8);
}

uint32_t above(const float* in, float threshold) {
  const VF t = splat(threshold);
  return above_mask(load(in), t) | above_mask(load(in + 16), t) << 16;
}

// Reads lines, U of them at a time: one accumulator would wait for itself. Asks for what comes
// AHEAD bytes later, into the first cache or the second; 0: not at all.
template <int U, long AHEAD, int CACHE>
uint64_t read_all(const void* data, size_t bytes) {
  const char* p = static_cast<const char*>(data);
  VI sums[U];
  for (VI& s : sums) s = splat_int(0);
  size_t at = 0;
  for (; at + 64 * U <= bytes; at += 64 * U) {
    _Pragma("GCC unroll 8") for (int i = 0; i < U; ++i) {
      if constexpr (AHEAD > 0) __builtin_prefetch(p + at + AHEAD + 64 * i, 0, CACHE == 1 ? 3 : 2);
      sums[i] = xor_int(sums[i], load_int(p + at + 64 * i));
    }
  }
  for (int i = 1; i < U; ++i) sums[0] = xor_int(sums[0], sums[i]);
  uint64_t total = uint32_t(sum_int(sums[0]));
  for (; at < bytes; ++at) total += uint8_t(p[at]);
  return total;
}

}  // namespace

#include "../decoder/inner.h"
#include "../sampling/inner.h"
#include "peak.h"

namespace {
void fill_latent(perfuse::LatentTable& table);  // in mla/inner.h, which needs exponential()

Table make_table(const char* name) {
  Table table = {};
  table.name = name;
  for (int& rows : table.rows_max) rows = kRows;
  for (int& rows : table.tile_rows) rows = perfuse::kBlockRowsMax + 1;
  fill_products<kRows>(table);
  fill_peaks(table);
  table.read[0] = read_all<8, 0, 0>;
  table.read[1] = read_all<2, 4096, 1>;
  table.read[2] = read_all<2, 8192, 2>;
  table.read[3] = read_all<8, 32768, 2>;
  table.to_bf16 = to_bf16;
  table.to_int8 = to_int8;
  table.from_int8 = from_int8;
  table.sum_int8 = sum_int8;
  table.silu_product = silu_product;
  table.add_scaled = add_scaled;
  table.add_on_grid = add_on_grid;
  table.above = above;
  table.add = add_rows;
  fill_attention<kAttendRows>(table);
  fill_latent(table.latent);
  table.rms_norm = rms_norm;
  table.rotate = rotate;
  table.softmax = softmax;
  table.sigmoid = sigmoid;
  fill_sampling(table.sampling);
  return table;
}

}  // namespace
