// A chunk of keys and values met by a block of query rows, written once for all instruction sets.
// Included by one translation unit each, after its vector_*.h; attention/chunk.h has the layouts.
#pragma once
#include "../native/table.h"

namespace {

using perfuse::Chunk;
using perfuse::QueryBlock;
using perfuse::kChunkTiles;
using perfuse::kChunkTokens;

#define PERFUSE_EACH(i, count) _Pragma("GCC unroll 24") for (int i = 0; i < count; ++i)

// 2^x for x <= 0, and the roundings above it: exactly 1 at 0, exactly 0 from -150 on. The
// polynomial is a fit of least relative error on [-1/2, 1/2], 2e-9. NaN stays NaN.
inline VF power_of_two(VF x) {
  const VF bounded = max(splat(-150.0f), x);
  const VF n = round(bounded);
  const VF r = sub(bounded, n);
  VF p = splat(1.535328536e-04f);
  p = fma(p, r, splat(1.339884752e-03f));
  p = fma(p, r, splat(9.618437391e-03f));
  p = fma(p, r, splat(5.550332538e-02f));
  p = fma(p, r, splat(2.402264792e-01f));
  p = fma(p, r, splat(6.931472028e-01f));
  return scale_by_power(fma(p, r, splat(1.0f)), n);
}

// Weights of a tile as the values' products take them.
inline void store_weights_bf16(uint32_t* out, VF p) {
#if defined(PERFUSE_WIDE_BF16)
  uint16_t rounded[16];
  store_bf16(rounded, p);
  store(reinterpret_cast<float*>(out), load_bf16(rounded));
#else
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), (__m256i)_mm512_cvtneps_pbh(p));
#endif
}

inline void store_weights_int8(uint32_t* out, VF p) {
#if defined(PERFUSE_WIDE_INT8)
  store_byte_pairs(out, p);
#else
  store_uint8(out, p);
#endif
}

// How a kind multiplies a line of keys or values by one unit of a row's query or weights, which is
// of kWords words. Where these are two, so is the line.
template <perfuse::Kind K>
struct Numbers;

template <>
struct Numbers<perfuse::F32> {
  static constexpr int kPer = 1, kWords = 1;
  using Sum = VF;
  using Raw = VF;
  using Line = VF;
  static Raw raw(const char* p) { return load(reinterpret_cast<const float*>(p)); }
  static Line key_line(const Raw& v, int) { return v; }
  static Line value_line(const Raw& v, int) { return v; }
  static VF key(VF sum, Line k, const uint32_t* q) { return add_product(sum, k, broadcast(q)); }
  static VF value(VF sum, Line v, const uint32_t* p) { return add_product(sum, v, broadcast(p)); }
};

template <>
struct Numbers<perfuse::BF16> {
  static constexpr int kPer = 2;
  using Sum = VF;
#if !defined(PERFUSE_WIDE_BF16)
  static constexpr int kWords = 1;
  using Raw = BfWeights;
  using Line = BfWeights;
  static Raw raw(const char* p) { return bf16_weights(p); }
  static Line key_line(const Raw& v, int) { return v; }
  static VF key(VF sum, const Line& k, const uint32_t* q) { return bf16_dot(sum, k, bf16_unit(q)); }
#else
  static constexpr int kWords = 2;
  using Raw = VI;
  using Line = VF;
  static Raw raw(const char* p) { return load_int(p); }
  static Line key_line(const Raw& v, int word) {
    const BfWeights both = bf16_split(v);
    return word ? both.odd : both.even;
  }
  static VF key(VF sum, const Line& k, const uint32_t* q) {
    return add_product(sum, k, broadcast(q));
  }
#endif
  static Line value_line(const Raw& v, int word) { return key_line(v, word); }
  static VF value(VF sum, const Line& v, const uint32_t* p) { return key(sum, v, p); }
};

template <>
struct Numbers<perfuse::I8> {
  static constexpr int kPer = 4;
  using Sum = VI;
  using Raw = VI;
  using Line = VI;
  static Raw raw(const char* p) { return int8_weights(p); }
#if defined(PERFUSE_WIDE_INT8)
  static constexpr int kWords = 2, kZero = 128;
  static Line key_line(const Raw& v, int word) { return bytes_half(v, word); }
  static Line value_line(const Raw& v, int word) { return int8_half(v, word); }
  static VI key(VI sum, const Line& k, const uint32_t* q) { return pairs_dot(sum, k, q); }
  static VI value(VI sum, const Line& v, const uint32_t* p) { return pairs_dot(sum, v, p); }
#else
  static constexpr int kWords = 1, kZero = kInt8Zero;  // of keys
  static Line key_line(const Raw& v, int) { return v; }
  static Line value_line(const Raw& v, int) { return v; }
  static VI key(VI sum, const Line& k, const uint32_t* q) { return int8_dot(sum, k, int_unit(q)); }
  static VI value(VI sum, const Line& v, const uint32_t* p) { return uint8_dot(sum, v, p); }
#endif
};

// Each line is asked for twice, a chunk ahead and half a chunk ahead: a hint is dropped where the
// processor has too many under way, and memory would then be waited for. Many rows need a line more
// rarely than it comes.
template <int M>
constexpr bool kAskTwice = M <= 8;

// Scores of T tiles from the first on: M x T chains along the channels. Meanwhile asks for this
// chunk's values, and for the next one's keys.
template <perfuse::Kind K, int M, int T>
inline void scores_of(const Chunk& chunk, const QueryBlock& block, int first, float* scores) {
  using N = Numbers<K>;
  const long units = chunk.head_dim / N::kPer;
  const char* keys[T];
  const char* ask[T];
  const char* next[T];
  typename N::Sum sums[M][T];
  PERFUSE_EACH(t, T) {
    keys[t] = chunk.keys[first + t];
    ask[t] = chunk.values[first + t];
    next[t] = chunk.next[first + t];
  }
  PERFUSE_EACH(m, M) {
    PERFUSE_EACH(t, T) {
      if constexpr (K == perfuse::I8) {
        sums[m][t] = splat_int(-N::kZero * block.code_sums[m]);
      } else {
        sums[m][t] = splat(0.0f);
      }
    }
  }
  const uint32_t* q = block.units;
  for (long at = 0; at < units * 64; at += 64, q += M * N::kWords) {
    typename N::Raw raw[T];
    PERFUSE_EACH(t, T) {
      __builtin_prefetch(ask[t] + at, 0, 2);
      if constexpr (kAskTwice<M>) __builtin_prefetch(next[t] + at, 0, 2);
      raw[t] = N::raw(keys[t] + at);
    }
    PERFUSE_EACH(w, N::kWords) {
      typename N::Line lines[T];
      PERFUSE_EACH(t, T) lines[t] = N::key_line(raw[t], w);
      PERFUSE_EACH(m, M) {
        PERFUSE_EACH(t, T) sums[m][t] = N::key(sums[m][t], lines[t], q + w * M + m);
      }
    }
  }
  PERFUSE_EACH(m, M) {
    PERFUSE_EACH(t, T) {
      float* out = scores + m * kChunkTokens + (first + t) * 16;
      if constexpr (K == perfuse::I8) {
        store(out, mul(to_float(sums[m][t]), load(chunk.key_scales[first + t])));
      } else {
        store(out, sums[m][t]);
      }
    }
  }
}

// Adds the values of the whole chunk, L lines of channels from `at` on, to M rows. Meanwhile asks
// for the next one's keys and values.
template <perfuse::Kind K, int M, int L>
inline void add_values(const Chunk& chunk, const QueryBlock& block, const uint32_t* weights,
                       const float* shrink, const float* steps, long at) {
  using N = Numbers<K>;
  constexpr int kUnits = 16 / N::kPer, kStride = kChunkTokens / N::kPer * N::kWords;
  const long row = chunk.head_dim * 4, half = chunk.head_dim / N::kPer * 64;
  typename N::Sum sums[M][L];
  PERFUSE_EACH(m, M) {
    PERFUSE_EACH(l, L) {
      if constexpr (K == perfuse::I8) {
        sums[m][l] = splat_int(0);
      } else {
        const float* out = block.sums + m * chunk.head_dim + (at + l) * 16;
        sums[m][l] = mul(load(out), splat(shrink[m]));
      }
    }
  }
  for (int t = 0; t < kChunkTiles; ++t, weights += kUnits * N::kWords) {
    const char* values = chunk.values[t] + at * 64;
    const char* ask = chunk.next[t] + at * kUnits * 64;
    for (int u = 0; u < kUnits; ++u, values += row, ask += L * 64) {
      typename N::Raw raw[L];
      PERFUSE_EACH(l, L) {
        __builtin_prefetch(ask + l * 64, 0, 2);
        if constexpr (kAskTwice<M>) __builtin_prefetch(ask + half + l * 64, 0, 2);
        raw[l] = N::raw(values + l * 64);
      }
      PERFUSE_EACH(w, N::kWords) {
        typename N::Line lines[L];
        PERFUSE_EACH(l, L) lines[l] = N::value_line(raw[l], w);
        PERFUSE_EACH(m, M) {
          const uint32_t* weight = weights + m * kStride + u * N::kWords + w;
          PERFUSE_EACH(l, L) sums[m][l] = N::value(sums[m][l], lines[l], weight);
        }
      }
    }
  }
  PERFUSE_EACH(m, M) {
    PERFUSE_EACH(l, L) {
      float* out = block.sums + m * chunk.head_dim + (at + l) * 16;
      if constexpr (K == perfuse::I8) {
        const VF before = mul(load(out), splat(shrink[m]));
        store(out, fma(to_float(sums[m][l]), splat(steps[m]), before));
      } else {
        store(out, sums[m][l]);
      }
    }
  }
}

// Sixteen exponentials a tile; leaves the weights as units for the sums, and adds them up by lane.
template <perfuse::Kind K>
inline void weights_of(const Chunk& chunk, int begin, int end, float* scores, float factor,
                       float most, float shrink, float* lanes, uint32_t* weights, float* step) {
  constexpr int kWords = 16 / Numbers<K>::kPer * Numbers<K>::kWords;  // of a tile
  const VF scale = splat(factor), rebase = splat(-most);
  VF p[kChunkTiles], total = mul(load(lanes), splat(shrink));
  PERFUSE_EACH(t, kChunkTiles) p[t] = power_of_two(fma(load(scores + 16 * t), scale, rebase));
  if (end - begin < kChunkTokens) {
    // Also where a score was minus infinity, or no key is seen and all are the largest.
    PERFUSE_EACH(t, kChunkTiles) store(scores + 16 * t, p[t]);
    for (int i = 0; i < begin; ++i) scores[i] = 0.0f;
    for (int i = end; i < kChunkTokens; ++i) scores[i] = 0.0f;
    PERFUSE_EACH(t, kChunkTiles) p[t] = load(scores + 16 * t);
  }
  PERFUSE_EACH(t, kChunkTiles) total = add(total, p[t]);
  store(lanes, total);
  if constexpr (K == perfuse::F32) {
    PERFUSE_EACH(t, kChunkTiles) store(reinterpret_cast<float*>(weights) + 16 * t, p[t]);
  } else if constexpr (K == perfuse::BF16) {
    PERFUSE_EACH(t, kChunkTiles) store_weights_bf16(weights + kWords * t, p[t]);
  } else {
    VF largest = splat(0.0f);
    PERFUSE_EACH(t, kChunkTiles) {
      p[t] = mul(p[t], load(chunk.value_scales[t]));
      largest = max(largest, p[t]);
    }
    const float top = maximum(largest);
    const VF inverse = splat(top > 0.0f ? 255.0f / top : 0.0f);
    *step = top * (1.0f / 255.0f);
    PERFUSE_EACH(t, kChunkTiles) store_weights_int8(weights + kWords * t, mul(p[t], inverse));
  }
}

template <perfuse::Kind K, int M>
void attend_chunk(const Chunk& chunk, const QueryBlock& block) {
  constexpr int kWords = 16 / Numbers<K>::kPer * Numbers<K>::kWords;  // of a tile
  // Registers for all chains: with 16 of them, two a lane, 6 rows of one line or 2 of two.
  constexpr int kTiles = kAttendRows >= 12 ? (M <= 6 ? 4 : 2) : M <= 2 ? 2 : 1;
  constexpr int kLines = kAttendRows >= 12 && M <= 3 ? 8 : kTiles;
  static_assert(kChunkTiles % kTiles == 0, "whole steps");
  alignas(64) float scores[M * kChunkTokens];
  for (int t = 0; t < kChunkTiles; t += kTiles) scores_of<K, M, kTiles>(chunk, block, t, scores);
  if constexpr (K == perfuse::I8) {
    const long scales = chunk.head_dim * 32;  // after codes of K and V
    PERFUSE_EACH(t, kChunkTiles) {
      __builtin_prefetch(chunk.next[t] + scales, 0, 2);
      __builtin_prefetch(chunk.next[t] + scales + 64, 0, 2);
    }
  }

  // Rows below the largest score so far are multiplied by shrink, all rows' in one vector.
  alignas(64) float shrink[16] = {}, steps[16] = {};
  for (int m = 0; m < M; ++m) {
    float* s = scores + m * kChunkTokens;
    if (block.ends[m] - block.begins[m] < kChunkTokens) {
      // What lies in slots that are not seen may be anything, NaN too.
      for (int i = 0; i < block.begins[m]; ++i) s[i] = perfuse::kUnseen;
      for (int i = block.ends[m]; i < kChunkTokens; ++i) s[i] = perfuse::kUnseen;
    }
    VF most = load(s);
    PERFUSE_EACH(t, kChunkTiles) most = max(load(s + 16 * t), most);
    const float top = maximum(most) * block.factors[m], before = block.most[m];
    const float now = top > before ? top : before;
    shrink[m] = before - now;
    block.most[m] = now;
  }
  store(shrink, power_of_two(load(shrink)));
  alignas(64) uint32_t weights[M * kChunkTiles * kWords];
  for (int m = 0; m < M; ++m) {
    weights_of<K>(chunk, block.begins[m], block.ends[m], scores + m * kChunkTokens,
                  block.factors[m], block.most[m], shrink[m], block.lanes + 16 * m,
                  weights + m * kChunkTiles * kWords, steps + m);
  }
  if constexpr (K == perfuse::I8) {
    // Comparisons lose a NaN, and codes cannot hold one: no row may take its values for numbers.
    uint32_t nan = 0;
    PERFUSE_EACH(t, kChunkTiles) nan |= has_nan(load(chunk.value_scales[t]));
    if (nan) store(steps, splat(__builtin_nanf("")));
  }
  const long lines = chunk.head_dim / 16;
  long at = 0;
  for (; at + kLines <= lines; at += kLines) {
    add_values<K, M, kLines>(chunk, block, weights, shrink, steps, at);
  }
  if constexpr (kLines > 4) {
    for (; at + 4 <= lines; at += 4) add_values<K, M, 4>(chunk, block, weights, shrink, steps, at);
  }
  if constexpr (kLines > 2) {
    for (; at + 2 <= lines; at += 2) add_values<K, M, 2>(chunk, block, weights, shrink, steps, at);
  }
  for (; at < lines; ++at) add_values<K, M, 1>(chunk, block, weights, shrink, steps, at);
}

#undef PERFUSE_EACH

template <int M>
void fill_attention(Table& table) {
  table.attend_chunk[perfuse::F32][M] = attend_chunk<perfuse::F32, M>;
  table.attend_chunk[perfuse::BF16][M] = attend_chunk<perfuse::BF16, M>;
  table.attend_chunk[perfuse::I8][M] = attend_chunk<perfuse::I8, M>;
  table.attend_words[perfuse::F32] = Numbers<perfuse::F32>::kWords;
  table.attend_words[perfuse::BF16] = Numbers<perfuse::BF16>::kWords;
  table.attend_words[perfuse::I8] = Numbers<perfuse::I8>::kWords;
  table.attend_rows_max = M > table.attend_rows_max ? M : table.attend_rows_max;
  if constexpr (M > 1) fill_attention<M - 1>(table);
}

}  // namespace
