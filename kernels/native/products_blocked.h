// The products of products.h for sixteen registers: a block of a few rows by one line, or of one or
// two rows by both, stays in registers while it walks a piece of the panel. Blocks take turns on a
// piece that lies in the first cache; sums wait in `out` meanwhile. Included after products.h.
//
// Activations of bf16 and int8 are widened where they are converted (Table::widen), so that a row
// costs a broadcast and its multiply-adds, nothing else:
//
//   bf16   two channels of fp32; of weights, a shift and a mask make two channels of one load
//   int8   pairs of 16 bits, channels 0 and 2, 1 and 3; weights the same. No sum can overflow:
//          signs need no care, and weights stay 128 too large, as VNNI has them
//   int4   bytes; the words of four lines are added before they become sums
#pragma once
#include <type_traits>

#include "products.h"
#include "widen.h"

namespace {

constexpr int kBothLines = 2;     // up to this many rows both lines of a panel at once
constexpr int kPieceUnits = 32;   // 4 KiB; also a group of channels that share a scale

#define PERFUSE_EACH_ROW(m) _Pragma("GCC unroll 6") for (int m = 0; m < R; ++m)
#define PERFUSE_EACH_LINE(l) _Pragma("GCC unroll 2") for (int l = 0; l < L; ++l)

// Where a block of rows stands on its way along k.
struct Place {
  const char* w;
  const uint32_t* a;
  long units;  // of this piece
  const float* scales;
  const int32_t* sums;
  bool first;  // piece of the panel
};

// A line's worth a unit where lines are walked one after the other, two where together.
template <int L, class Asks>
inline void ask_for(Asks& asking, bool asks) {
  if (!asks) return;
  if (L == 2) asking.ask();
  else asking.ask_half();
}

// Of each kind: a line's word of weights, a row's unit, and what is done with both.
struct BlockedFloats {
  static VF unit(const uint32_t* a) { return broadcast(a); }
  static void add(VF& sum, VF line, VF x) { fma_into(sum, line, x); }
};

struct BlockedF32 : BlockedFloats {
  static constexpr int kRowsAtOnce = 6, kWords = 1;
  template <int Word>
  static VF line(const char* w) { return load(reinterpret_cast<const float*>(w)); }
};

struct BlockedBf16 : BlockedFloats {
  static constexpr int kRowsAtOnce = 5, kWords = 2;
  template <int Word>
  static VF line(const char* w) {
    const BfWeights both = bf16_weights(w);
    return Word == 0 ? both.even : both.odd;
  }
};

struct BlockedWhole {
  static VI unit(const uint32_t* a) { return splat_int(int32_t(*a)); }
};

struct BlockedI8 : BlockedWhole {
  static constexpr int kRowsAtOnce = 5, kWords = 2;
  template <int Word>
  static VI line(const char* w) {
    return Word == 0 ? even_bytes(load_int(w)) : odd_bytes(load_int(w));
  }
  static void add(VI& sum, VI line, VI x) { add_into(sum, dot_words(line, x)); }
};

// Two units a line; sums are of words.
struct BlockedI4 : BlockedWhole {
  static constexpr int kRowsAtOnce = 4, kWords = 1;
  template <int Word>
  static VI line(const char* w) {
    return Word == 0 ? int4_low(load_int(w)) : int4_high(load_int(w));
  }
  static void add(VI& sum, VI line, VI x) { add_words_into(sum, byte_pairs(line, x)); }
};

template <class N, int M, int R, int L, int Word, class Sum>
inline void add_word(const char* w, const uint32_t* a, Sum (&sums)[R][L]) {
  Sum lines[L];
  PERFUSE_EACH_LINE(l) lines[l] = N::template line<Word>(w + 64 * l);
  PERFUSE_EACH_ROW(m) {
    const Sum x = N::unit(a + Word * M + m);
    PERFUSE_EACH_LINE(l) N::add(sums[m][l], lines[l], x);
  }
}

// Rows `a` and `out` begin with, lines from w on.
template <class N, int M, int R, int L, class Asks>
inline void walk_floats(const Place& place, float* out, Asks& asking, bool asks) {
  VF sums[R][L];
  PERFUSE_EACH_ROW(m) {
    PERFUSE_EACH_LINE(l) {
      sums[m][l] = place.first ? splat(0) : load(out + m * kColumns + 16 * l);
    }
  }
  const char* w = place.w;
  const uint32_t* a = place.a;
  for (long k = 0; k < place.units; ++k, w += 128, a += N::kWords * M) {
    ask_for<L>(asking, asks);
    add_word<N, M, R, L, 0>(w, a, sums);
    if constexpr (N::kWords == 2) add_word<N, M, R, L, 1>(w, a, sums);
  }
  PERFUSE_EACH_ROW(m) {
    PERFUSE_EACH_LINE(l) store(out + m * kColumns + 16 * l, sums[m][l]);
  }
}

// One group; `sums` of the activations, since weights are 128 too large.
template <class N, int M, int R, int L, class Asks>
inline void walk_int8(const Place& place, float* out, Asks& asking, bool asks) {
  VI sums[R][L];
  PERFUSE_EACH_ROW(m) {
    PERFUSE_EACH_LINE(l) sums[m][l] = splat_int(-128 * place.sums[m]);
  }
  const char* w = place.w;
  const uint32_t* a = place.a;
  for (long k = 0; k < place.units; ++k, w += 128, a += 2 * M) {
    ask_for<L>(asking, asks);
    add_word<N, M, R, L, 0>(w, a, sums);
    add_word<N, M, R, L, 1>(w, a, sums);
  }
  PERFUSE_EACH_ROW(m) {
    const VF scale = splat(place.scales[m]);
    PERFUSE_EACH_LINE(l) {
      float* to = out + m * kColumns + 16 * l;
      store(to, fma(to_float(sums[m][l]), scale, place.first ? splat(0) : load(to)));
    }
  }
}

// One group: its scales, and lines of two units each; w is at the first line.
template <class N, int M, int R, int L, class Asks>
inline void walk_int4(const Place& place, const uint16_t* columns, float* out, Asks& asking,
                      bool asks) {
  constexpr long kAdded = kPairSteps;  // units whose words fit 16 bits
  VI sums[R][L];
  PERFUSE_EACH_ROW(m) {
    PERFUSE_EACH_LINE(l) sums[m][l] = splat_int(-8 * place.sums[m]);
  }
  const char* w = place.w;
  const uint32_t* a = place.a;
  for (long begin = 0; begin < place.units; begin += kAdded) {
    const long end = begin + kAdded < place.units ? begin + kAdded : place.units;
    VI words[R][L];
    PERFUSE_EACH_ROW(m) {
      PERFUSE_EACH_LINE(l) words[m][l] = splat_int(0);
    }
    for (long k = begin; k < end; k += 2, w += 128, a += 2 * M) {
      ask_for<L>(asking, asks);
      add_word<N, M, R, L, 0>(w, a, words);
      add_word<N, M, R, L, 1>(w, a, words);
    }
    PERFUSE_EACH_ROW(m) {
      PERFUSE_EACH_LINE(l) sums[m][l] = add_pairs(sums[m][l], words[m][l]);
    }
  }
  PERFUSE_EACH_ROW(m) {
    const VF scale = splat(place.scales[m]);
    PERFUSE_EACH_LINE(l) {
      float* to = out + m * kColumns + 16 * l;
      const VF product = mul(to_float(sums[m][l]), scale);
      store(to, fma(product, load_bf16(columns + 16 * l), place.first ? splat(0) : load(to)));
    }
  }
}

template <class N, int M, int R, int L, class Asks>
inline void walk_piece(Place place, int line, float* out, Asks& asking, bool asks) {
  out += 16 * line;
  if constexpr (std::is_same_v<N, BlockedI4>) {
    const uint16_t* columns = reinterpret_cast<const uint16_t*>(place.w) + 16 * line;
    if (asks && line == 0) asking.ask_half();  // for the scales
    place.w += 64 + 64 * line;
    walk_int4<N, M, R, L>(place, columns, out, asking, asks);
  } else {
    place.w += 64 * line;
    if constexpr (std::is_same_v<N, BlockedI8>) {
      walk_int8<N, M, R, L>(place, out, asking, asks);
    } else {
      walk_floats<N, M, R, L>(place, out, asking, asks);
    }
  }
}

// Blocks of rows from `First` on, in turn.
template <class N, int M, int First, class Asks>
inline void walk_rows(Place place, float* out, Asks& asking) {
  constexpr int kBlocks = (M + N::kRowsAtOnce - 1) / N::kRowsAtOnce;
  constexpr int kAtMost = (M + kBlocks - 1) / kBlocks;
  constexpr int R = M - First < kAtMost ? M - First : kAtMost;
  if constexpr (M <= kBothLines) {
    walk_piece<N, M, R, 2>(place, 0, out, asking, true);
  } else {
    walk_piece<N, M, R, 1>(place, 0, out, asking, First == 0);
    walk_piece<N, M, R, 1>(place, 1, out, asking, First == 0);
  }
  if constexpr (First + R < M) {
    place.a += R, place.scales += R, place.sums += R;
    walk_rows<N, M, First + R>(place, out + R * kColumns, asking);
  }
}

template <class N, int M>
void gemm_blocked(const void* panel, const Block* block, long units, long group_units, float* out,
                  const perfuse::Ahead& ahead) {
  constexpr bool kFloats = std::is_same_v<N, BlockedF32> || std::is_same_v<N, BlockedBf16>;
  constexpr bool kInt4 = std::is_same_v<N, BlockedI4>;
  Asking<M> asking(ahead);
  Place place{static_cast<const char*>(panel), block->units, 0, block->scales, block->sums, true};
  const long step = !kFloats ? (kInt4 ? kGroupUnits : group_units)
                    : M <= kBothLines ? units : kPieceUnits;
  for (long begin = 0; begin < units; begin += step) {
    place.units = begin + step < units ? step : units - begin;
    walk_rows<N, M, 0>(place, out, asking);
    place.w += kInt4 ? 64 + place.units * 64 : place.units * 128;
    place.a += place.units * N::kWords * M;
    if (!kFloats) place.scales += M, place.sums += M;
    place.first = false;
  }
  if constexpr (std::is_same_v<N, BlockedI8>) {
    asking.ask();
    const float* columns = reinterpret_cast<const float*>(place.w);
    for (int i = 0; i < M * kColumns; i += 16) {
      store(out + i, mul(load(out + i), load(columns + i % kColumns)));
    }
  }
}

#undef PERFUSE_EACH_ROW
#undef PERFUSE_EACH_LINE

template <int M>
void fill_blocked(Table& table) {
  table.gemm[perfuse::F32][M] = gemm_blocked<BlockedF32, M>;
  table.gemm[perfuse::BF16][M] = gemm_blocked<BlockedBf16, M>;
  table.gemm[perfuse::I8][M] = gemm_blocked<BlockedI8, M>;
  table.gemm[perfuse::I4][M] = gemm_blocked<BlockedI4, M>;
  if constexpr (M > 1) fill_blocked<M - 1>(table);
}

// The table of `base` with these products.
Table with_blocked_products(const Table& base) {
  Table table = base;
  for (int& rows : table.rows_max) rows = perfuse::kRowsMax;
  table.widen[perfuse::BF16] = perfuse::widen_bf16;
  table.widen[perfuse::I8] = perfuse::widen_int8;
  fill_blocked<perfuse::kRowsMax>(table);
  return table;
}

}  // namespace
