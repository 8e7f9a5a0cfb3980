// Sixteen lanes as two AVX2 registers.
#pragma once
#include <immintrin.h>
#include <stdint.h>

namespace {

struct VF {
  __m256 a, b;
};
struct VI {
  __m256i a, b;
};
constexpr int kRows = 2;       // 2 rows x 4 registers, 4 weights and broadcasts: 14 of 16 registers
#define PERFUSE_WIDE_BF16  // it becomes fp32 before it is multiplied
#define PERFUSE_WIDE_LATENTS
constexpr int kInt8Zero = 0;   // signs are restored below: no unsigned bytes, no 16-bit saturation

inline VF load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, VF v) {
  _mm256_storeu_ps(p, v.a);
  _mm256_storeu_ps(p + 8, v.b);
}
inline VF splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline VF fma(VF a, VF b, VF c) {
  return {_mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b)};
}
// Not the intrinsic: where all registers are taken, GCC 12 sums in the register of a factor, and
// spills the sum.
inline void fma_into(VF& sum, VF a, VF b) {
  __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum.a) : "x"(a.a), "x"(b.a));
  __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum.b) : "x"(a.b), "x"(b.b));
}
inline VF add(VF a, VF b) { return {_mm256_add_ps(a.a, b.a), _mm256_add_ps(a.b, b.b)}; }
inline VF sub(VF a, VF b) { return {_mm256_sub_ps(a.a, b.a), _mm256_sub_ps(a.b, b.b)}; }
inline VF mul(VF a, VF b) { return {_mm256_mul_ps(a.a, b.a), _mm256_mul_ps(a.b, b.b)}; }
inline VF div(VF a, VF b) { return {_mm256_div_ps(a.a, b.a), _mm256_div_ps(a.b, b.b)}; }
inline VF min(VF a, VF b) { return {_mm256_min_ps(a.a, b.a), _mm256_min_ps(a.b, b.b)}; }
inline VF max(VF a, VF b) { return {_mm256_max_ps(a.a, b.a), _mm256_max_ps(a.b, b.b)}; }
inline VF round(VF v) {
  return {_mm256_round_ps(v.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(v.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline VF magnitude(VF v) {
  const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  return {_mm256_and_ps(v.a, mask), _mm256_and_ps(v.b, mask)};
}
// n from -126 - 24 to 127: in two steps, so that the factors and a subnormal result are right.
inline __m256 scale_half(__m256 v, __m256 n) {
  const __m256i whole = _mm256_cvtps_epi32(n), first = _mm256_srai_epi32(whole, 1);
  const __m256i second = _mm256_sub_epi32(whole, first), bias = _mm256_set1_epi32(127);
  const __m256i x = _mm256_slli_epi32(_mm256_add_epi32(first, bias), 23);
  const __m256i y = _mm256_slli_epi32(_mm256_add_epi32(second, bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(v, _mm256_castsi256_ps(x)), _mm256_castsi256_ps(y));
}
inline VF scale_by_power(VF v, VF n) { return {scale_half(v.a, n.a), scale_half(v.b, n.b)}; }
inline float sum(VF v) {
  float lanes[16];
  store(lanes, v);
  for (int width = 8; width; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}
inline float maximum(VF v) {
  float lanes[16];
  store(lanes, v);
  float most = lanes[0];
  for (int i = 1; i < 16; ++i) most = lanes[i] > most ? lanes[i] : most;
  return most;
}
inline uint32_t above_mask(VF x, VF y) {
  return uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(x.a, y.a, _CMP_GT_OQ))) |
         uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(x.b, y.b, _CMP_GT_OQ))) << 8;
}
inline uint32_t has_nan(VF v) {
  return uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(v.a, v.a, _CMP_UNORD_Q))) |
         uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(v.b, v.b, _CMP_UNORD_Q))) << 8;
}

inline VI splat_int(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline VI load_int(const void* p) {
  const __m256i* q = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
inline VI add_int(VI x, VI y) {
  return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
inline VI and_int(VI x, VI y) {
  return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
inline void store_int(void* p, VI v) {
  __m256i* q = static_cast<__m256i*>(p);
  _mm256_storeu_si256(q, v.a);
  _mm256_storeu_si256(q + 1, v.b);
}
inline VI xor_int(VI x, VI y) { return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)}; }
inline VF to_float(VI v) { return {_mm256_cvtepi32_ps(v.a), _mm256_cvtepi32_ps(v.b)}; }
inline VI to_int(VF v) { return {_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b)}; }
inline int32_t sum_int(VI v) {
  int32_t lanes[8], total = 0;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi32(v.a, v.b));
  for (int32_t lane : lanes) total += lane;
  return total;
}

inline __m256 widen_bf16(const uint16_t* p) {
  const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
inline VF load_bf16(const uint16_t* p) { return {widen_bf16(p), widen_bf16(p + 8)}; }
inline __m256i round_bf16(__m256 v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256 nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
  return _mm256_srli_epi32(_mm256_blendv_epi8(up, quiet, _mm256_castps_si256(nan)), 16);
}
inline void store_bf16(uint16_t* p, VF v) {
  const __m256i packed = _mm256_packus_epi32(round_bf16(v.a), round_bf16(v.b));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm256_permute4x64_epi64(packed, 0b11011000));
}
// To the nearest bf16, as fp32.
inline VF rounded_bf16(VF v) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(round_bf16(v.a), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(round_bf16(v.b), 16))};
}
// Sixteen bf16 of one row below sixteen of the next: a line whose units are pairs of rows.
inline VI pair_line(const uint16_t* first, const uint16_t* second) {
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first));
  const __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(second));
  const __m256i low = _mm256_unpacklo_epi16(x, y), high = _mm256_unpackhi_epi16(x, y);
  return {_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31)};
}
inline void store_int8(int8_t* p, VF v) {
  int32_t lanes[16];
  const VI whole = to_int(v);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), whole.a);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes + 8), whole.b);
  for (int i = 0; i < 16; ++i) p[i] = int8_t(lanes[i]);
}
inline VI load_int8(const int8_t* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8)))};
}

struct BfWeights {
  VF even, odd;
};
using BfUnit = BfWeights;
inline BfWeights bf16_split(VI v) {
  const __m256i mask = _mm256_set1_epi32(int32_t(0xffff0000));
  return {{_mm256_castsi256_ps(_mm256_slli_epi32(v.a, 16)),
           _mm256_castsi256_ps(_mm256_slli_epi32(v.b, 16))},
          {_mm256_castsi256_ps(_mm256_and_si256(v.a, mask)),
           _mm256_castsi256_ps(_mm256_and_si256(v.b, mask))}};
}
inline BfWeights bf16_weights(const void* p) { return bf16_split(load_int(p)); }
inline BfUnit bf16_unit(const uint32_t* p) { return bf16_split(splat_int(int32_t(*p))); }
inline VF bf16_dot(VF sum, const BfWeights& w, const BfUnit& a) {
  return fma(w.odd, a.odd, fma(w.even, a.even, sum));
}

using IntUnit = VI;
inline VI int8_weights(const void* p) { return load_int(p); }
inline VI int4_low(VI v) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(v.a, mask), _mm256_and_si256(v.b, mask)};
}
inline VI int4_high(VI v) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(_mm256_srli_epi16(v.a, 4), mask),
          _mm256_and_si256(_mm256_srli_epi16(v.b, 4), mask)};
}
constexpr bool kHighInPlace = false;  // 16 x 15 x 127 twice does not fit 16 bits
inline VI int4_high_in_place(VI v) { return v; }
inline VI sixteenth(VI v) { return v; }
inline VI int_unit(const uint32_t* p) { return splat_int(int32_t(*p)); }
inline __m256i fours(__m256i sum, __m256i w_unsigned, __m256i a) {
  const __m256i pairs = _mm256_maddubs_epi16(w_unsigned, a);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline __m256i signed_fours(__m256i sum, __m256i w, __m256i a) {
  const __m256i signed_w = _mm256_xor_si256(w, _mm256_set1_epi8(char(0x80)));
  // |w| <= 127 and |a| <= 127: pairs stay within 16 bits.
  return fours(sum, _mm256_abs_epi8(signed_w), _mm256_sign_epi8(a, signed_w));
}
inline VI int8_dot(VI sum, VI w, VI a) {
  return {signed_fours(sum.a, w.a, a.a), signed_fours(sum.b, w.b, a.b)};
}
inline VI int4_dot(VI sum, VI w, VI a) {
  return {fours(sum.a, w.a, a.a), fours(sum.b, w.b, a.b)};
}

// Of unsigned bytes 0 to 3 of each lane, 0 and 2, and 1 and 3, as pairs of 16 bits.
inline VI even_bytes(VI v) {
  const __m256i mask = _mm256_set1_epi16(255);
  return {_mm256_and_si256(v.a, mask), _mm256_and_si256(v.b, mask)};
}
inline VI odd_bytes(VI v) { return {_mm256_srli_epi16(v.a, 8), _mm256_srli_epi16(v.b, 8)}; }
inline VI dot_words(VI x, VI y) {
  return {_mm256_madd_epi16(x.a, y.a), _mm256_madd_epi16(x.b, y.b)};
}
// Pairs of unsigned and signed bytes, as 16 bits.
inline VI byte_pairs(VI w, VI a) {
  return {_mm256_maddubs_epi16(w.a, a.a), _mm256_maddubs_epi16(w.b, a.b)};
}
inline VI add_words(VI x, VI y) {
  return {_mm256_add_epi16(x.a, y.a), _mm256_add_epi16(x.b, y.b)};
}
// In place, for the same as fma_into: additions of whole numbers GCC also puts in another order.
inline void add_into(VI& sum, VI x) {
  __asm__("vpaddd %1, %0, %0" : "+x"(sum.a) : "x"(x.a));
  __asm__("vpaddd %1, %0, %0" : "+x"(sum.b) : "x"(x.b));
}
inline void add_words_into(VI& sum, VI x) {
  __asm__("vpaddw %1, %0, %0" : "+x"(sum.a) : "x"(x.a));
  __asm__("vpaddw %1, %0, %0" : "+x"(sum.b) : "x"(x.b));
}

// For probes: the compiler takes v for changed, and products of bytes for new each time.
inline void opaque(VF& v) { __asm__ volatile("" : "+x"(v.a), "+x"(v.b)); }
inline void opaque(VI& v) { __asm__ volatile("" : "+x"(v.a), "+x"(v.b)); }
inline VI new_pairs(VI w, VI a) {
  VI pairs;
  __asm__ volatile("vpmaddubsw %2, %1, %0" : "=x"(pairs.a) : "x"(w.a), "x"(a.a));
  __asm__ volatile("vpmaddubsw %2, %1, %0" : "=x"(pairs.b) : "x"(w.b), "x"(a.b));
  return pairs;
}
inline VI add_pairs(VI sum, VI pairs) {
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_add_epi32(sum.a, _mm256_madd_epi16(pairs.a, ones)),
          _mm256_add_epi32(sum.b, _mm256_madd_epi16(pairs.b, ones))};
}
inline VI peak_int8(VI sum, VI w, VI a) { return add_pairs(sum, new_pairs(w, a)); }
// Of 4 bits and 8, the pairs of this many steps fit 16 bits: 8 x 2 x 15 x 127 = 30,480.
constexpr int kPairSteps = 8;
inline VI peak_int4(VI sum, VI w, VI a) {
  VI pairs = new_pairs(w, a);
  _Pragma("GCC unroll 8") for (int i = 1; i < kPairSteps; ++i) {
    pairs = add_words(pairs, new_pairs(w, a));
  }
  return add_pairs(sum, pairs);
}

// Unsigned bytes p, broadcast, times signed bytes v. In two halves of p: 16 bits hold a pair each.
inline __m256i unsigned_fours(__m256i sum, __m256i p, __m256i v) {
  const __m256i half = _mm256_and_si256(_mm256_srli_epi16(p, 1), _mm256_set1_epi8(127));
  return fours(fours(sum, half, v), _mm256_sub_epi8(p, half), v);
}
inline VI uint8_dot(VI sum, VI v, const uint32_t* p) {
  const VI unit = splat_int(int32_t(*p));
  return {unsigned_fours(sum.a, unit.a, v.a), unsigned_fours(sum.b, unit.b, v.b)};
}
inline void store_uint8(uint32_t* p, VF v) {  // v is within 0 .. 255; rounds to nearest
  int32_t lanes[16];
  const VI whole = to_int(v);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), whole.a);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes + 8), whole.b);
  uint8_t bytes[16];
  for (int i = 0; i < 16; ++i) bytes[i] = uint8_t(lanes[i]);
  __builtin_memcpy(p, bytes, 16);
}

inline void add_grid4(const float* in, float weight, double* out) {
  const __m256d two32 = _mm256_set1_pd(4294967296.0), down = _mm256_set1_pd(1.0 / 4294967296.0);
  __m256d v = _mm256_mul_pd(_mm256_cvtps_pd(_mm_loadu_ps(in)), _mm256_set1_pd(weight));
  v = _mm256_round_pd(_mm256_mul_pd(v, two32), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm256_storeu_pd(out, _mm256_add_pd(_mm256_loadu_pd(out), _mm256_mul_pd(v, down)));
}
inline void add_grid(const float* in, float weight, double* out) {
  add_grid4(in, weight, out);
  add_grid4(in + 4, weight, out + 4);
}

#define PERFUSE_WIDE_INT8  // as pairs of 16 bits: a line is its even and its odd ones
inline VF add_product(VF sum, VF v, VF factor) {
  fma_into(sum, factor, v);
  return sum;
}
constexpr int kAttendRows = 6;  // 6 rows x 2 registers, a line's 2 and a broadcast
inline __m256i int8_half(__m256i v, int half) {
  return _mm256_srai_epi16(half ? v : _mm256_slli_epi16(v, 8), 8);
}
inline VI bytes_half(VI v, int half) { return half ? odd_bytes(v) : even_bytes(v); }
inline VI int8_half(VI v, int half) { return {int8_half(v.a, half), int8_half(v.b, half)}; }
// Pairs of 16 bits, the second ones broadcast: exact while sums are.
inline VI pairs_dot(VI sum, VI w, const uint32_t* pair) {
  const __m256i unit = _mm256_set1_epi32(int32_t(*pair));
  add_into(sum, dot_words(w, {unit, unit}));
  return sum;
}
// Four units of unsigned bytes, each as pairs of its even and of its odd ones; v as store_uint8 has
// it.
inline void store_byte_pairs(uint32_t* p, VF v) {
  const VI whole = to_int(v);
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(whole.a, whole.b), 0b11011000);
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words),
                                         _mm256_extracti128_si256(words, 1));
  const __m128i even = _mm_and_si128(bytes, _mm_set1_epi16(255)), odd = _mm_srli_epi16(bytes, 8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_unpacklo_epi32(even, odd));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 4), _mm_unpackhi_epi32(even, odd));
}

}  // namespace
