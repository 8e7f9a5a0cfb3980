// Sixteen lanes as one AVX-512 register; bf16 dot products where the processor has them.
#pragma once
#include <immintrin.h>
#include <stdint.h>

namespace {

using VF = __m512;
using VI = __m512i;
constexpr int kRows = 12;       // 2 x 12 accumulators, 2 weights, a broadcast: 27 of 32 registers
constexpr int kInt8Zero = 128;  // weights are unsigned here, 128 too large

inline VF load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, VF v) { _mm512_storeu_ps(p, v); }
inline VF splat(float x) { return _mm512_set1_ps(x); }
inline VF fma(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
inline VF add(VF a, VF b) { return _mm512_add_ps(a, b); }
inline VF sub(VF a, VF b) { return _mm512_sub_ps(a, b); }
inline VF mul(VF a, VF b) { return _mm512_mul_ps(a, b); }
inline VF div(VF a, VF b) { return _mm512_div_ps(a, b); }
inline VF min(VF a, VF b) { return _mm512_min_ps(a, b); }
inline VF max(VF a, VF b) { return _mm512_max_ps(a, b); }
inline VF round(VF a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
inline VF magnitude(VF a) { return _mm512_abs_ps(a); }
inline VF scale_by_power(VF a, VF n) { return _mm512_scalef_ps(a, n); }
inline float sum(VF a) {
  float lanes[16];
  _mm512_storeu_ps(lanes, a);
  for (int width = 8; width; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}
inline float maximum(VF a) { return _mm512_reduce_max_ps(a); }
inline uint32_t above_mask(VF a, VF b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
inline uint32_t has_nan(VF a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }

inline VI splat_int(int32_t x) { return _mm512_set1_epi32(x); }
inline VI load_int(const void* p) { return _mm512_loadu_si512(p); }
inline VI add_int(VI a, VI b) { return _mm512_add_epi32(a, b); }
inline VI and_int(VI a, VI b) { return _mm512_and_si512(a, b); }
inline void store_int(void* p, VI v) { _mm512_storeu_si512(p, v); }
inline VI xor_int(VI a, VI b) { return _mm512_xor_si512(a, b); }
inline VF to_float(VI a) { return _mm512_cvtepi32_ps(a); }
inline int32_t sum_int(VI a) { return _mm512_reduce_add_epi32(a); }

inline VF load_bf16(const uint16_t* p) {
  const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
inline void store_bf16(uint16_t* p, VF v) {
  const VI bits = _mm512_castps_si512(v);
  const VI odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), splat_int(1));
  VI rounded = add_int(add_int(bits, splat_int(0x7fff)), odd);
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  rounded = _mm512_mask_or_epi32(rounded, nan, bits, splat_int(0x400000));
  const __m256i h = _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), h);
}
// Sixteen bf16 of one row below sixteen of the next: a line whose units are pairs of rows.
inline VI pair_line(const uint16_t* first, const uint16_t* second) {
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)first));
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)second));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}
inline void store_int8(int8_t* p, VF v) {  // v is whole numbers within int8
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}
inline VI load_int8(const int8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline VI to_int(VF v) { return _mm512_cvtps_epi32(v); }

#if defined(__AVX512BF16__)
using BfWeights = __m512bh;
using BfUnit = __m512bh;
inline BfWeights bf16_weights(const void* p) { return (__m512bh)_mm512_load_si512(p); }
inline BfUnit bf16_unit(const uint32_t* p) { return (__m512bh)_mm512_set1_epi32(int32_t(*p)); }
inline VF bf16_dot(VF sum, BfWeights w, BfUnit a) { return _mm512_dpbf16_ps(sum, w, a); }
#else
#define PERFUSE_WIDE_BF16  // it becomes fp32 before it is multiplied
struct BfWeights {
  VF even, odd;
};
using BfUnit = BfWeights;
inline BfWeights bf16_split(VI v) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(v, 16)),
          _mm512_castsi512_ps(_mm512_and_si512(v, splat_int(int32_t(0xffff0000))))};
}
inline BfWeights bf16_weights(const void* p) { return bf16_split(_mm512_load_si512(p)); }
inline BfUnit bf16_unit(const uint32_t* p) { return bf16_split(splat_int(int32_t(*p))); }
inline VF bf16_dot(VF sum, const BfWeights& w, const BfUnit& a) {
  return fma(w.odd, a.odd, fma(w.even, a.even, sum));
}
#endif

using IntWeights = VI;
using IntUnit = const uint32_t*;  // broadcast by the dot product itself
inline VI int8_weights(const void* p) { return _mm512_load_si512(p); }
inline VI int4_low(VI v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
inline VI int4_high(VI v) {
  return _mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi8(15));
}
constexpr bool kHighInPlace = true;
inline VI int4_high_in_place(VI v) { return _mm512_and_si512(v, _mm512_set1_epi8(char(0xf0))); }
inline VI sixteenth(VI v) { return _mm512_srai_epi32(v, 4); }
inline IntUnit int_unit(const uint32_t* p) { return p; }
// Not the intrinsic: GCC 12 copies its accumulator before and after, and runs out of registers.
inline VI int8_dot(VI sum, VI w, IntUnit a) {
  __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*a));
  return sum;
}
inline VI int4_dot(VI sum, VI w, IntUnit a) { return int8_dot(sum, w, a); }
// For probes: on registers, and the compiler takes v for changed.
inline VI peak_int8(VI sum, VI w, VI a) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(a));
  return sum;
}
constexpr int kPairSteps = 1;
inline VI peak_int4(VI sum, VI w, VI a) { return peak_int8(sum, w, a); }
inline void opaque(VF& v) { __asm__ volatile("" : "+v"(v)); }
inline void opaque(VI& v) { __asm__ volatile("" : "+v"(v)); }

// Unsigned bytes p, broadcast, times signed bytes v; the same for not copying accumulators.
inline VI uint8_dot(VI sum, VI v, const uint32_t* p) {
  const VI unit = splat_int(int32_t(*p));
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unit), "v"(v));
  return sum;
}
inline void store_uint8(uint32_t* p, VF v) {  // v is within 0 .. 255; rounds to nearest
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

inline void add_grid(const float* in, float weight, double* out) {  // 8 of float64
  const __m512d two32 = _mm512_set1_pd(4294967296.0), down = _mm512_set1_pd(1.0 / 4294967296.0);
  __m512d v = _mm512_mul_pd(_mm512_cvtps_pd(_mm256_loadu_ps(in)), _mm512_set1_pd(weight));
  v = _mm512_roundscale_pd(_mm512_mul_pd(v, two32), _MM_FROUND_TO_NEAREST_INT);
  _mm512_storeu_pd(out, _mm512_add_pd(_mm512_loadu_pd(out), _mm512_mul_pd(v, down)));
}

constexpr int kAttendRows = kRows;
// Not the intrinsic, as above.
inline VF add_product(VF sum, VF v, VF factor) {
  __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(factor), "v"(v));
  return sum;
}

}  // namespace
