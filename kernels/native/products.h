// The four products over panels, written once for all instruction sets. Included by one translation
// unit each, after its vector_*.h; see table.h for the layouts.
#pragma once
#include "table.h"

namespace {

using perfuse::Block;
using perfuse::Table;
using perfuse::kColumns;
using perfuse::kGroupUnits;

#define PERFUSE_ROWS _Pragma("GCC unroll 12") for (int m = 0; m < M; ++m)

// Two lines a k unit, or the same one twice: a hint for what is there costs next to nothing.
template <int M>
class Asking {
 public:
  explicit Asking(const perfuse::Ahead& ahead)
      : at_(ahead.at), then_(ahead.then), left_(ahead.bytes > 0 ? ahead.bytes : kEndless),
        step_(ahead.step) {}
  // For 128 bytes of weights.
  void ask() {
    hint(at_);
    hint(at_ + (step_ >> 1));
    pass(step_);
  }
  // For all lines of a tile and those beside it.
  void ask_tile() {
    if (step_ == 0) return;
    for (int line = 0; line < perfuse::kTileUnits; ++line) ask();
  }
  // For 64 bytes: scales. Left out, they and what the stream is then behind would be waited for.
  void ask_half() {
    hint(at_);
    pass(step_ >> 1);
  }

 private:
  static void hint(const char* p) {
    __builtin_prefetch(p, 0, M <= perfuse::kNearRows ? 3 : 2);
  }
  void pass(long bytes) {
    at_ += bytes;
    left_ -= bytes;
    if (left_ > 0) return;
    at_ = then_;
    left_ = kEndless;
  }

  static constexpr long kEndless = 0x7fffffff;
  const char* at_;
  const char* then_;
  long left_, step_;
};

// A unit of one channel, in all lanes.
inline VF broadcast(const uint32_t* unit) {
  float x;
  __builtin_memcpy(&x, unit, 4);
  return splat(x);
}

template <int M>
void gemm_f32(const void* panel, const Block* block, long units, long, float* out,
              const perfuse::Ahead& ahead) {
  Asking<M> asking(ahead);
  const float* w = static_cast<const float*>(panel);
  const uint32_t* a = block->units;
  VF low[M], high[M];
  PERFUSE_ROWS low[m] = high[m] = splat(0);
  for (long k = 0; k < units; ++k, w += kColumns, a += M) {
    asking.ask();
    const VF w0 = load(w), w1 = load(w + 16);
    PERFUSE_ROWS {
      const VF unit = broadcast(a + m);
      low[m] = fma(w0, unit, low[m]);
      high[m] = fma(w1, unit, high[m]);
    }
  }
  PERFUSE_ROWS {
    store(out + m * kColumns, low[m]);
    store(out + m * kColumns + 16, high[m]);
  }
}

template <int M>
void gemm_bf16(const void* panel, const Block* block, long units, long, float* out,
              const perfuse::Ahead& ahead) {
  Asking<M> asking(ahead);
  const char* w = static_cast<const char*>(panel);
  const uint32_t* a = block->units;
  VF low[M], high[M];
  PERFUSE_ROWS low[m] = high[m] = splat(0);
  for (long k = 0; k < units; ++k, w += 128, a += M) {
    asking.ask();
    const BfWeights w0 = bf16_weights(w), w1 = bf16_weights(w + 64);
    PERFUSE_ROWS {
      const BfUnit unit = bf16_unit(a + m);
      low[m] = bf16_dot(low[m], w0, unit);
      high[m] = bf16_dot(high[m], w1, unit);
    }
  }
  PERFUSE_ROWS {
    store(out + m * kColumns, low[m]);
    store(out + m * kColumns + 16, high[m]);
  }
}

// Weights are bytes 128 too large; where the dot product takes them as they are, each group starts
// from -128 x the sum of its activations. After the lines come 32 fp32 scales, one a column.
template <int M>
void gemm_i8(const void* panel, const Block* block, long units, long group_units, float* out,
              const perfuse::Ahead& ahead) {
  Asking<M> asking(ahead);
  const char* w = static_cast<const char*>(panel);
  const uint32_t* a = block->units;
  const float* scales = block->scales;
  const int32_t* sums = block->sums;
  VF total_low[M], total_high[M];
  PERFUSE_ROWS total_low[m] = total_high[m] = splat(0);
  for (long begin = 0; begin < units; begin += group_units, scales += M, sums += M) {
    const long end = begin + group_units < units ? begin + group_units : units;
    VI low[M], high[M];
    PERFUSE_ROWS low[m] = high[m] = splat_int(-kInt8Zero * sums[m]);
    for (long k = begin; k < end; ++k, w += 128, a += M) {
      asking.ask();
      const VI w0 = int8_weights(w), w1 = int8_weights(w + 64);
      PERFUSE_ROWS {
        const IntUnit unit = int_unit(a + m);
        low[m] = int8_dot(low[m], w0, unit);
        high[m] = int8_dot(high[m], w1, unit);
      }
    }
    PERFUSE_ROWS {
      const VF scale = splat(scales[m]);
      total_low[m] = fma(to_float(low[m]), scale, total_low[m]);
      total_high[m] = fma(to_float(high[m]), scale, total_high[m]);
    }
  }
  asking.ask();
  const float* columns = reinterpret_cast<const float*>(w);
  const VF s0 = load(columns), s1 = load(columns + 16);
  PERFUSE_ROWS {
    store(out + m * kColumns, mul(total_low[m], s0));
    store(out + m * kColumns + 16, mul(total_high[m], s1));
  }
}

// Each group of 128 channels: 32 bf16 scales, then its lines; a line is 16 columns x 8 channels,
// the first four of them in the low halves of the bytes. Values are 8 too large, as above.
//
// Few rows have registers for sums of the high halves where they stand, 16 times too large: one
// operation less for each line, and two short chains of additions instead of a long one. Sums are
// whole numbers: both ways have the same bits.
template <int M>
void gemm_i4(const void* panel, const Block* block, long units, long, float* out,
              const perfuse::Ahead& ahead) {
  constexpr bool kInPlace = kHighInPlace && M <= 5;
  Asking<M> asking(ahead);
  const char* w = static_cast<const char*>(panel);
  const uint32_t* a = block->units;
  const float* scales = block->scales;
  const int32_t* sums = block->sums;
  VF total_low[M], total_high[M];
  PERFUSE_ROWS total_low[m] = total_high[m] = splat(0);
  for (long begin = 0; begin < units; begin += kGroupUnits, scales += M, sums += M) {
    const long end = begin + kGroupUnits < units ? begin + kGroupUnits : units;
    const uint16_t* columns = reinterpret_cast<const uint16_t*>(w);
    const VF s0 = load_bf16(columns), s1 = load_bf16(columns + 16);
    w += 64;
    asking.ask_half();
    VI low[M], high[M], low_16[M], high_16[M];
    PERFUSE_ROWS {
      low[m] = high[m] = splat_int(-8 * sums[m]);
      low_16[m] = high_16[m] = splat_int(0);
    }
    for (long k = begin; k < end; k += 2, w += 128, a += 2 * M) {
      asking.ask();
      const VI w0 = int8_weights(w), w1 = int8_weights(w + 64);
      const VI w0a = int4_low(w0), w1a = int4_low(w1);
      if constexpr (kInPlace) {
        const VI w0b = int4_high_in_place(w0), w1b = int4_high_in_place(w1);
        PERFUSE_ROWS {
          const IntUnit first = int_unit(a + m), second = int_unit(a + M + m);
          low[m] = int4_dot(low[m], w0a, first);
          high[m] = int4_dot(high[m], w1a, first);
          low_16[m] = int4_dot(low_16[m], w0b, second);
          high_16[m] = int4_dot(high_16[m], w1b, second);
        }
      } else {
        const VI w0b = int4_high(w0), w1b = int4_high(w1);
        PERFUSE_ROWS {
          const IntUnit first = int_unit(a + m), second = int_unit(a + M + m);
          low[m] = int4_dot(int4_dot(low[m], w0a, first), w0b, second);
          high[m] = int4_dot(int4_dot(high[m], w1a, first), w1b, second);
        }
      }
    }
    PERFUSE_ROWS {
      if constexpr (kInPlace) {
        low[m] = add_int(low[m], sixteenth(low_16[m]));
        high[m] = add_int(high[m], sixteenth(high_16[m]));
      }
      const VF scale = splat(scales[m]);
      total_low[m] = fma(mul(to_float(low[m]), scale), s0, total_low[m]);
      total_high[m] = fma(mul(to_float(high[m]), scale), s1, total_high[m]);
    }
  }
  PERFUSE_ROWS {
    store(out + m * kColumns, total_low[m]);
    store(out + m * kColumns + 16, total_high[m]);
  }
}

#undef PERFUSE_ROWS

template <int M>
void fill_products(Table& table) {
  table.gemm[perfuse::F32][M] = gemm_f32<M>;
  table.gemm[perfuse::BF16][M] = gemm_bf16<M>;
  table.gemm[perfuse::I8][M] = gemm_i8<M>;
  table.gemm[perfuse::I4][M] = gemm_i4<M>;
  if constexpr (M > 1) fill_products<M - 1>(table);
}

}  // namespace
