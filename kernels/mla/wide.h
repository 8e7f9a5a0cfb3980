// Latent attention where bf16 is widened before it is multiplied and registers are few: rows,
// queries and probabilities meet as fp32, of which a line and its broadcasts need nothing but
// loads. Included by inner.h.
//
// A piece of 16 keys' channels, or of a tile's keys, lies in the first cache. Blocks of keys, or of
// heads, take turns on it, as many sums each as registers hold; sums wait in `out` between pieces.
// Each has one chain, as everywhere.
#pragma once
#include "latent_table.h"

namespace {

using perfuse::kStepKeys;

// Keys of a unit, and a unit's probabilities.
struct LatentF32 {
  static constexpr long kPer = 1;
  static VF number(VF p) { return p; }
};

struct LatentBf16 : LatentF32 {
  static VF number(VF p) { return rounded_bf16(p); }
};

template <class Number>
inline void store_unit(Number, uint32_t* out, VF first, VF) {
  store(reinterpret_cast<float*>(out), Number::number(first));
}

constexpr long kPieceChannels = 128;  // 8 KiB of 16 keys, and as much of the queries
constexpr long kPieceKeys = 64;       // 8 KiB of a strip, and 4 KiB of probabilities

#define PERFUSE_BLOCK(n) _Pragma("GCC unroll 6") for (int n = 0; n < R; ++n)

// The next block's size, where so many of 16 rows are left: 6, 5 and 5, or 4 each.
constexpr int latent_block(int left) {
  const int blocks = (left + kAttendRows - 1) / kAttendRows;
  return (left + blocks - 1) / blocks;
}

// Numbers of a row lie `step` bytes apart, those of the next row `row` bytes further.
struct LatentNumbers {
  const char* at;
  long row, step;
};

inline VF latent_line(const float* row) { return load(row); }
inline VF latent_line(const uint16_t* row) { return load_bf16(row); }

// A line a step: of fp32, `Stride` apart, or wherever the rows of a cache lie.
template <long Stride>
struct LatentLines {
  const float* at;
  VF operator()(long i) const { return load(at + i * Stride); }
};

template <class Code>
struct LatentRows {
  const char* const* rows;
  long channel;
  VF operator()(long i) const {
    const Code* line = reinterpret_cast<const Code*>(rows[i]) + channel;
    __builtin_prefetch(line + kColumns);
    return latent_line(line);
  }
};

// sums[n] += the lines, one a step, times numbers of row n.
template <int R, class Lines>
inline void latent_meet(VF (&sums)[R], const Lines& lines, LatentNumbers numbers, long steps,
                        const char* ahead = nullptr, long ahead_step = 0) {
  const bool asks = ahead_step > 0;
  for (long i = 0; i < steps; ++i, numbers.at += numbers.step) {
    if (asks) __builtin_prefetch(ahead + i * ahead_step, 0, 2);
    const VF line = lines(i);
    PERFUSE_BLOCK(n) {
      const char* number = numbers.at + n * numbers.row;
      sums[n] = add_product(sums[n], line, broadcast(reinterpret_cast<const uint32_t*>(number)));
    }
  }
}

// Blocks of keys from First on, which meet a piece of the queries. Each asks for as many later keys
// as it has: all at once would be more than memory gives, and products would wait.
template <int First>
inline void latent_score_blocks(LatentNumbers keys, const float* queries, long channels,
                                bool is_first, const char* ahead, long code_bytes, float* out) {
  constexpr int R = latent_block(kLanes - First);
  VF sums[R];
  PERFUSE_BLOCK(n) sums[n] = is_first ? splat(0) : load(out + n * kLanes);
  latent_meet<R>(sums, LatentLines<kLanes>{queries}, keys, channels, ahead, R * code_bytes);
  PERFUSE_BLOCK(n) store(out + n * kLanes, sums[n]);
  if constexpr (First + R < kLanes) {
    keys.at += R * keys.row;
    latent_score_blocks<First + R>(keys, queries, channels, is_first,
                                   ahead + R * code_bytes * channels, code_bytes, out + R * kLanes);
  }
}

template <class Code>
void latent_scores(const char* rows, long stride, const uint32_t* queries, long channels,
                   const char* ahead, float* out) {
  constexpr long kBytes = sizeof(Code);
  alignas(64) float piece[kStepKeys * kPieceChannels];
  const LatentNumbers keys{reinterpret_cast<const char*>(piece), 4 * kPieceChannels, 4};
  for (long begin = 0; begin < channels; begin += kPieceChannels) {
    const long left = channels - begin, count = left < kPieceChannels ? left : kPieceChannels;
    for (long key = 0; key < kStepKeys; ++key) {
      const Code* row = reinterpret_cast<const Code*>(rows + key * stride) + begin;
      float* wide = piece + key * kPieceChannels;
      for (long c = 0; c < count; c += kLanes) store(wide + c, latent_line(row + c));
    }
    const float* lines = reinterpret_cast<const float*>(queries + begin * kLanes);
    latent_score_blocks<0>(keys, lines, count, begin == 0, ahead + begin * kStepKeys * kBytes,
                           kBytes, out);
  }
}

template <class Code>
void latent_strip(const char* const* rows, long channel, long keys, uint32_t* out) {
  float* strip = reinterpret_cast<float*>(out);
  for (long key = 0; key < keys; ++key, strip += kColumns) {
    const Code* row = reinterpret_cast<const Code*>(rows[key]) + channel;
    __builtin_prefetch(row + kColumns);
    store(strip, latent_line(row));
    store(strip + kLanes, latent_line(row + kLanes));
  }
}

// Blocks of heads from First on, which meet lines of 16 channels. Sums made before shrink by
// factors; without these there are none.
template <int First, class Lines>
inline void latent_value_blocks(const Lines& lines, const uint32_t* probabilities, long keys,
                                const float* factors, float* out, long stride) {
  constexpr int R = latent_block(kLanes - First);
  VF sums[R];
  PERFUSE_BLOCK(h) {
    sums[h] = factors ? mul(load(out + h * stride), splat(factors[First + h])) : splat(0);
  }
  const char* first = reinterpret_cast<const char*>(probabilities + First);
  latent_meet<R>(sums, lines, {first, 4, 4 * kLanes}, keys);
  PERFUSE_BLOCK(h) store(out + h * stride, sums[h]);
  if constexpr (First + R < kLanes) {
    latent_value_blocks<First + R>(lines, probabilities, keys, factors, out + R * stride, stride);
  }
}

void latent_values(const uint32_t* strip, const uint32_t* probabilities, long begin, long end,
                   const float* factors, float* out, long stride) {
  const float* lines = reinterpret_cast<const float*>(strip) + begin * kColumns;
  for (long half = 0; half < kColumns; half += kLanes) {
    latent_value_blocks<0>(LatentLines<kColumns>{lines + half}, probabilities + begin * kLanes,
                           end - begin, factors, out + half, stride);
  }
}

template <class Code>
void latent_row_values(const char* const* rows, long channel, const uint32_t* probabilities,
                       long begin, long end, const float* factors, float* out, long stride) {
  for (long half = 0; half < kColumns; half += kLanes) {
    latent_value_blocks<0>(LatentRows<Code>{rows + begin, channel + half},
                           probabilities + begin * kLanes, end - begin, factors, out + half,
                           stride);
  }
}

#undef PERFUSE_BLOCK

void fill_latent_products(perfuse::LatentTable& table) {
  table.piece_keys = kPieceKeys;
  table.per[perfuse::F32] = table.per[perfuse::BF16] = 1;
  table.scores[perfuse::F32] = latent_scores<float>;
  table.scores[perfuse::BF16] = latent_scores<uint16_t>;
  table.strip[perfuse::F32] = latent_strip<float>;
  table.strip[perfuse::BF16] = latent_strip<uint16_t>;
  table.values[perfuse::F32] = table.values[perfuse::BF16] = latent_values;
  table.row_values[perfuse::F32] = latent_row_values<float>;
  table.row_values[perfuse::BF16] = latent_row_values<uint16_t>;
}

}  // namespace
