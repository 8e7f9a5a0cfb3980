// Sixteen lanes as an array: any processor, plain loops. A product and a sum are rounded apart here
// (a processor without FMA would take a function call for each), so fp32 bits differ from the
// others'.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

namespace {

struct VF {
  float v[16];
};
struct VI {
  int32_t v[16];
};
constexpr int kRows = 4;
#define PERFUSE_WIDE_BF16  // it becomes fp32 before it is multiplied
#define PERFUSE_WIDE_LATENTS
constexpr int kInt8Zero = 0;

#define PERFUSE_LANES(expression)                    \
  for (int i = 0; i < 16; ++i) r.v[i] = expression;  \
  return r
inline VF load(const float* p) {
  VF r;
  memcpy(r.v, p, sizeof r.v);
  return r;
}
inline void store(float* p, const VF& a) { memcpy(p, a.v, sizeof a.v); }
inline VF splat(float x) { VF r; PERFUSE_LANES(x); }
inline VF fma(const VF& a, const VF& b, const VF& c) {
  VF r;
  PERFUSE_LANES(a.v[i] * b.v[i] + c.v[i]);
}
inline VF add(const VF& a, const VF& b) { VF r; PERFUSE_LANES(a.v[i] + b.v[i]); }
inline VF sub(const VF& a, const VF& b) { VF r; PERFUSE_LANES(a.v[i] - b.v[i]); }
inline VF mul(const VF& a, const VF& b) { VF r; PERFUSE_LANES(a.v[i] * b.v[i]); }
inline VF div(const VF& a, const VF& b) { VF r; PERFUSE_LANES(a.v[i] / b.v[i]); }
// Like the instructions of the others: the second where either is NaN.
inline VF min(const VF& a, const VF& b) { VF r; PERFUSE_LANES(a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
inline VF max(const VF& a, const VF& b) { VF r; PERFUSE_LANES(a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
inline VF round(const VF& a) { VF r; PERFUSE_LANES(__builtin_rintf(a.v[i])); }
inline VF magnitude(const VF& a) { VF r; PERFUSE_LANES(__builtin_fabsf(a.v[i])); }
inline VF scale_by_power(const VF& a, const VF& n) {
  VF r;
  PERFUSE_LANES(__builtin_ldexpf(a.v[i], n.v[i] == n.v[i] ? int(n.v[i]) : 0));
}
inline float sum(VF a) {
  for (int width = 8; width; width /= 2)
    for (int i = 0; i < width; ++i) a.v[i] += a.v[i + width];
  return a.v[0];
}
inline float maximum(const VF& a) {
  float most = a.v[0];
  for (int i = 1; i < 16; ++i) most = a.v[i] > most ? a.v[i] : most;
  return most;
}
inline uint32_t above_mask(const VF& a, const VF& b) {
  uint32_t mask = 0;
  for (int i = 0; i < 16; ++i) mask |= uint32_t(a.v[i] > b.v[i]) << i;
  return mask;
}
inline uint32_t has_nan(const VF& a) {
  uint32_t any = 0;
  for (int i = 0; i < 16; ++i) any |= uint32_t(a.v[i] != a.v[i]);
  return any;
}

inline VI splat_int(int32_t x) { VI r; PERFUSE_LANES(x); }
inline VI load_int(const void* p) {
  VI r;
  memcpy(r.v, p, sizeof r.v);
  return r;
}
inline VI add_int(const VI& a, const VI& b) {
  VI r;
  PERFUSE_LANES(int32_t(uint32_t(a.v[i]) + uint32_t(b.v[i])));
}
inline VI and_int(const VI& a, const VI& b) { VI r; PERFUSE_LANES(a.v[i] & b.v[i]); }
inline void store_int(void* p, const VI& a) { memcpy(p, a.v, sizeof a.v); }
inline VI xor_int(const VI& a, const VI& b) { VI r; PERFUSE_LANES(a.v[i] ^ b.v[i]); }
inline VF to_float(const VI& a) { VF r; PERFUSE_LANES(float(a.v[i])); }
// Out of range and NaN become INT_MIN, as the instructions have it.
inline int32_t whole(float x) {
  return x >= -2147483648.0f && x < 2147483648.0f ? int32_t(__builtin_rintf(x)) : INT32_MIN;
}
inline VI to_int(const VF& a) { VI r; PERFUSE_LANES(whole(a.v[i])); }
inline int32_t sum_int(const VI& a) {
  uint32_t total = 0;
  for (int i = 0; i < 16; ++i) total += uint32_t(a.v[i]);
  return int32_t(total);
}

inline float from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
inline uint16_t bf16_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if (x != x) return uint16_t((bits | 0x400000) >> 16);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline VF load_bf16(const uint16_t* p) {
  uint16_t h[16];
  memcpy(h, p, sizeof h);
  VF r;
  PERFUSE_LANES(from_bits(uint32_t(h[i]) << 16));
}
inline void store_bf16(uint16_t* p, const VF& a) {
  uint16_t h[16];
  for (int i = 0; i < 16; ++i) h[i] = bf16_bits(a.v[i]);
  memcpy(p, h, sizeof h);
}
// To the nearest bf16, as fp32.
inline VF rounded_bf16(const VF& a) {
  VF r;
  PERFUSE_LANES(from_bits(uint32_t(bf16_bits(a.v[i])) << 16));
}
inline void store_int8(int8_t* p, const VF& a) {
  for (int i = 0; i < 16; ++i) p[i] = int8_t(whole(a.v[i]));
}
// Sixteen bf16 of one row below sixteen of the next: a line whose units are pairs of rows.
inline VI pair_line(const uint16_t* first, const uint16_t* second) {
  VI r;
  PERFUSE_LANES(int32_t(uint32_t(first[i]) | uint32_t(second[i]) << 16));
}
inline VI load_int8(const int8_t* p) { VI r; PERFUSE_LANES(p[i]); }

struct BfWeights {
  VF even, odd;
};
using BfUnit = BfWeights;
inline BfWeights bf16_split(const VI& v) {
  BfWeights r;
  for (int i = 0; i < 16; ++i) {
    r.even.v[i] = from_bits(uint32_t(v.v[i]) << 16);
    r.odd.v[i] = from_bits(uint32_t(v.v[i]) & 0xffff0000u);
  }
  return r;
}
inline BfWeights bf16_weights(const void* p) { return bf16_split(load_int(p)); }
inline BfUnit bf16_unit(const uint32_t* p) { return bf16_split(splat_int(int32_t(*p))); }
inline VF bf16_dot(const VF& sum, const BfWeights& w, const BfUnit& a) {
  return fma(w.odd, a.odd, fma(w.even, a.even, sum));
}

using IntUnit = VI;
inline VI int8_weights(const void* p) { return load_int(p); }
inline VI int4_low(const VI& v) { VI r; PERFUSE_LANES(v.v[i] & 0x0f0f0f0f); }
inline VI int4_high(const VI& v) {
  VI r;
  PERFUSE_LANES(int32_t(uint32_t(v.v[i]) >> 4 & 0x0f0f0f0fu));
}
constexpr bool kHighInPlace = false;  // 16 x 15 x 127 twice does not fit 16 bits
inline VI int4_high_in_place(VI v) { return v; }
inline VI sixteenth(VI v) { return v; }
inline VI int_unit(const uint32_t* p) { return splat_int(int32_t(*p)); }
template <int kZero>
inline VI fours(const VI& sum, const VI& w, const VI& a) {
  uint8_t wb[64];
  int8_t ab[64];
  memcpy(wb, w.v, 64);
  memcpy(ab, a.v, 64);
  VI r;
  for (int i = 0; i < 16; ++i) {
    int32_t total = sum.v[i];
    for (int j = 4 * i; j < 4 * i + 4; ++j) total += (int32_t(wb[j]) - kZero) * ab[j];
    r.v[i] = total;
  }
  return r;
}
inline VI int8_dot(const VI& sum, const VI& w, const VI& a) { return fours<128>(sum, w, a); }
inline VI int4_dot(const VI& sum, const VI& w, const VI& a) { return fours<0>(sum, w, a); }

// For probes: the compiler takes v for changed.
inline void opaque(VF& v) { __asm__ volatile("" : "+m"(v)); }
inline void opaque(VI& v) { __asm__ volatile("" : "+m"(v)); }
inline VI peak_int8(const VI& sum, VI w, const VI& a) {
  opaque(w);
  return fours<0>(sum, w, a);
}
constexpr int kPairSteps = 1;
inline VI peak_int4(const VI& sum, const VI& w, const VI& a) { return peak_int8(sum, w, a); }

// Unsigned bytes p, broadcast, times signed bytes v.
inline VI uint8_dot(const VI& sum, const VI& v, const uint32_t* p) {
  uint8_t pb[4];
  int8_t vb[64];
  memcpy(pb, p, 4);
  memcpy(vb, v.v, 64);
  VI r;
  for (int i = 0; i < 16; ++i) {
    int32_t total = sum.v[i];
    for (int j = 0; j < 4; ++j) total += int32_t(pb[j]) * vb[4 * i + j];
    r.v[i] = total;
  }
  return r;
}
inline void store_uint8(uint32_t* p, const VF& a) {  // within 0 .. 255; rounds to nearest
  uint8_t bytes[16];
  for (int i = 0; i < 16; ++i) bytes[i] = uint8_t(whole(a.v[i]));
  memcpy(p, bytes, 16);
}

inline void add_grid(const float* in, float weight, double* out) {
  for (int i = 0; i < 8; ++i) {
    const double term = double(in[i]) * double(weight);
    out[i] += __builtin_rint(term * 4294967296.0) * (1.0 / 4294967296.0);
  }
}
#undef PERFUSE_LANES

constexpr int kAttendRows = kRows;
inline VF add_product(const VF& sum, const VF& v, const VF& factor) { return fma(v, factor, sum); }

}  // namespace
