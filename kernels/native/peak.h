// How fast a core multiplies and adds on registers alone: no kernel of that kind is faster.
// Included like products.h; what a multiply-add of each kind is made of stands in vector_*.h.
#pragma once
#include "table.h"

namespace {

// Chains side by side, in lanes of sixteen: more than latency times instructions a cycle, and no
// more than registers hold beside the operands.
constexpr int kPeakChains = kRows >= 12 ? 12 : 6;
constexpr int kPeakSteps = 8;  // of each chain in a round

struct PeakF32 {
  using Sum = VF;
  static constexpr int kChains = kPeakChains, kChannels = 1;
  VF w = splat(0), a = splat(0);
  PeakF32() { opaque(w), opaque(a); }
  Sum zero() const { return splat(0); }
  Sum step(Sum sum) const { return fma(w, a, sum); }
};

#if defined(PERFUSE_WIDE_BF16)
using PeakBf16 = PeakF32;  // its multiply-adds are those of fp32
#else
struct PeakBf16 {
  using Sum = VF;
  static constexpr int kChains = kPeakChains, kChannels = 2;
  BfWeights w;
  BfUnit a;
  PeakBf16() {
    alignas(64) uint32_t zeros[16] = {};
    __asm__ volatile("" : "+m"(zeros));
    w = bf16_weights(zeros);
    a = bf16_unit(zeros);
  }
  Sum zero() const { return splat(0); }
  Sum step(Sum sum) const { return bf16_dot(sum, w, a); }
};
#endif

template <bool kNibbles>
struct PeakInt {
  using Sum = VI;
  static constexpr int kChains = 4, kChannels = kNibbles ? 4 * kPairSteps : 4;
  VI w = splat_int(0), a = splat_int(0);
  PeakInt() { opaque(w), opaque(a); }
  Sum zero() const { return splat_int(0); }
  Sum step(Sum sum) const { return kNibbles ? peak_int4(sum, w, a) : peak_int8(sum, w, a); }
};

#define PERFUSE_CHAINS(i, count) _Pragma("GCC unroll 12") for (int i = 0; i < count; ++i)

// Returns the operations done, a multiply-add being two.
template <class Number>
double peak_of(long rounds) {
  const Number number;
  typename Number::Sum sums[Number::kChains];
  // Opaque, or else the compiler sees that all chains are one.
  PERFUSE_CHAINS(i, Number::kChains) opaque(sums[i] = number.zero());
  for (long round = 0; round < rounds; ++round) {
    PERFUSE_CHAINS(step, kPeakSteps) {
      PERFUSE_CHAINS(i, Number::kChains) sums[i] = number.step(sums[i]);
    }
  }
  PERFUSE_CHAINS(i, Number::kChains) opaque(sums[i]);
  return 2.0 * perfuse::kLanes * double(rounds) * kPeakSteps * Number::kChains * Number::kChannels;
}

#undef PERFUSE_CHAINS

void fill_peaks(Table& table) {
  table.peak[perfuse::F32] = peak_of<PeakF32>;
  table.peak[perfuse::BF16] = peak_of<PeakBf16>;
  table.peak[perfuse::I8] = peak_of<PeakInt<false>>;
  table.peak[perfuse::I4] = peak_of<PeakInt<true>>;
}

}  // namespace
