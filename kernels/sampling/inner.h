// The passes over a row; included by one translation unit for each instruction set. In the
// compiler's own vectors, as wide as the unit's registers: products and sums are rounded apart
// (-ffp-contract=off), so that every set has the bits of ref.py.
#pragma once
#include "weights.h"

namespace {

#if defined(__AVX512F__)
constexpr int kWide = 8;
#elif defined(__AVX2__)
constexpr int kWide = 4;
#else
constexpr int kWide = 2;
#endif
typedef double Doubles __attribute__((vector_size(kWide * 8)));
typedef int64_t Words __attribute__((vector_size(kWide * 8)));

// Where there is one instruction for it, GCC 12 needs to be told.
inline Doubles widened(const float* p) {
#if defined(__AVX512F__)
  return _mm512_cvtps_pd(_mm256_loadu_ps(p));
#elif defined(__AVX2__)
  return _mm256_cvtps_pd(_mm_loadu_ps(p));
#else
  return Doubles{p[0], p[1]};
#endif
}

// Sums with it round to whole numbers, ties to even, and show them in the low bits.
constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52
constexpr double kLeast = -32.0;                 // exp of it is below 2^-44
constexpr int64_t kScale = int64_t{1023 + 44} << 52;

// floor of numbers from 0 to 2^44.
inline Words floored(Doubles y) {
#if defined(__AVX512F__)
  return __builtin_convertvector(y, Words);
#else
  // Rounded to nearest in the low bits; one less (a comparison is -1) where that was up.
  constexpr double kWhole = 4503599627370496.0;  // 2^52
  const Doubles near = y + kWhole;
  const Words up = (near - kWhole) > y;
  return reinterpret_cast<Words>(near) - reinterpret_cast<Words>(Doubles{} + kWhole) + up;
#endif
}

// The weights of logits as integers. Constants and order as in ref.py.
inline Words weights_of(Doubles logits, const perfuse::Heat& heat) {
  Doubles x = (logits - heat.most) * heat.inverse;
  const Doubles least = Doubles{} + kLeast;
  x = x > least ? x : least;
  const Doubles shifted = x * 0x1.71547652b82fep+0 + kRounder;
  const Doubles n = shifted - kRounder;
  const Doubles r = (x - n * 0x1.62e42fef00000p-1) - n * 0x1.473de6af278edp-34;
  // In pairs: half as many steps wait for each other as in Horner's scheme.
  const Doubles r2 = r * r, r4 = r2 * r2;
  const Doubles a = r * 0x1.5555555555556p-3 + 0x1.0000000000001p-1;
  const Doubles b = r * 0x1.11111111109b3p-7 + 0x1.5555555553d63p-5;
  const Doubles c = r * 0x1.a01a01a7c41d5p-13 + 0x1.6c16c1788bd90p-10;
  const Doubles d = r * 0x1.71de0dae63bb3p-19 + 0x1.a019b90d2ae7ap-16;
  const Doubles e = r * 0x1.af38a9b0ec855p-26 + 0x1.289185613a3d6p-22;
  const Doubles s = (a + b * r2) + ((c + d * r2) + e * r4) * r4;
  const Doubles p = (r2 * s + r) + 1.0;
  // 2^(n + 44), from -3 to 44, made in the exponent's bits.
  return floored(p * reinterpret_cast<Doubles>((reinterpret_cast<Words>(shifted) << 52) + kScale));
}

void weigh(const float* logits, long count, const perfuse::Heat& heat, uint64_t* weights) {
  long i = 0;
  for (; i + kWide <= count; i += kWide) {
    const Words w = weights_of(widened(logits + i), heat);
    __builtin_memcpy(weights + i, &w, sizeof w);
  }
  if (i == count) return;
  float padded[kWide];
  for (float& x : padded) x = -__builtin_inff();  // a 0 may be far above the largest logit
  __builtin_memcpy(padded, logits + i, size_t(count - i) * 4);
  const Words w = weights_of(widened(padded), heat);
  __builtin_memcpy(weights + i, &w, size_t(count - i) * 8);
}

void weigh_above(const float* logits, long count, const float* maxima, const perfuse::Heat& heat,
                 const float* bars, uint64_t* sums) {
  Words totals[perfuse::kBars] = {};
  Doubles wide[perfuse::kBars];
  for (int j = 0; j < perfuse::kBars; ++j) wide[j] = Doubles{} + double(bars[j]);
  const auto add = [&](const float* p) {
    const Doubles logit = widened(p);
    const Words w = weights_of(logit, heat);
    _Pragma("GCC unroll 8") for (int j = 0; j < perfuse::kBars; ++j) {
      totals[j] = logit > wide[j] ? totals[j] + w : totals[j];
    }
  };
  for (long begin = 0; begin < count; begin += perfuse::kChunk) {
    if (!(maxima[begin / perfuse::kChunk] > bars[perfuse::kBars - 1])) continue;
    const long end = begin + perfuse::kChunk < count ? begin + perfuse::kChunk : count;
    long i = begin;
    for (; i + kWide <= end; i += kWide) add(logits + i);
    if (i == end) continue;
    float padded[kWide];
    for (float& x : padded) x = -__builtin_inff();  // above no bar
    __builtin_memcpy(padded, logits + i, size_t(end - i) * 4);
    add(padded);
  }
  for (int j = 0; j < perfuse::kBars; ++j) {
    sums[j] = 0;
    for (int lane = 0; lane < kWide; ++lane) sums[j] += uint64_t(totals[j][lane]);
  }
}

bool chunk_maxima(const float* logits, long count, float* maxima) {
  uint32_t nan = 0;
  for (long begin = 0; begin < count; begin += perfuse::kChunk) {
    const float* p = logits + begin;
    float padded[perfuse::kChunk];
    if (count - begin < perfuse::kChunk) {
      for (float& x : padded) x = -__builtin_inff();
      __builtin_memcpy(padded, p, size_t(count - begin) * 4);
      p = padded;
    }
    VF most = splat(-__builtin_inff());
    for (int i = 0; i < perfuse::kChunk; i += 16) {
      const VF x = load(p + i);
      nan |= has_nan(x);
      most = max(x, most);
    }
    maxima[begin / perfuse::kChunk] = maximum(most);
  }
  return nan != 0;
}

void fill_sampling(perfuse::SamplingTable& table) {
  table.chunk_maxima = chunk_maxima;
  table.weigh = weigh;
  table.weigh_above = weigh_above;
}

}  // namespace
