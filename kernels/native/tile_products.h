// Products of bf16 and int8 in tiles, over the same panels as products.h: 16 lines of a panel's
// half are a tile of weights at a stride of 128 bytes. Included after a vector_*.h and a tiles_*.h.
//
// bf16 goes through tiles whatever the number of rows: their sums are rounded in another order than
// those of vectors, and a row's bits must not depend on the rows beside it. One row should not lose
// by it: 2 KiB of weights take one dot product's latency, 52 cycles (Intel's optimization manual),
// and a core reads less from memory in that time. int8 sums are whole numbers: few rows are left to
// vectors.
#pragma once
#include "products.h"

namespace {

using perfuse::kTileUnits;

// Of weights: a tile of the left half of a panel, one of the right.
constexpr long kTilesBytes = kTileUnits * 128;
// Fewer rows of int8 are left to vectors: for each group of 128 channels tiles take 64 cycles and
// wait for their sums, vectors take 32 a row. Derived, not measured.
constexpr int kInt8TileRows = 5;
static_assert(kRows + 1 >= kInt8TileRows, "fewer rows need a product of vectors");
static_assert(kTileLines == kTileUnits && 2 * kTileLines == perfuse::kTileRows,
              "a block is two tiles of rows");

struct Bf16Tiles {
  static constexpr int kChannels = 2;
  template <int C, int A, int B>
  static void dot() { tile_dot_bf16<C, A, B>(); }
};
struct Int8Tiles {
  static constexpr int kChannels = 4;
  template <int C, int A, int B>
  static void dot() { tile_dot_int8<C, A, B>(); }
};

template <bool kTwo>
inline void zero_sums() {
  if (kTwo) tile_zero<0>(), tile_zero<1>();
  tile_zero<2>(), tile_zero<3>();
}

// [row][32 columns], of fp32 or int32.
template <bool kTwo>
inline void store_sums(void* to) {
  char* out = static_cast<char*>(to);
  if (kTwo) {
    tile_store<0>(out, kColumns * 4);
    tile_store<1>(out + kTileLineBytes, kColumns * 4);
    out += kTileLines * kColumns * 4;
  }
  tile_store<2>(out, kColumns * 4);
  tile_store<3>(out + kTileLineBytes, kColumns * 4);
}

// 16 units of all rows: with two tiles of rows each load feeds two dot products.
template <class T, bool kTwo>
inline void multiply_tiles(const char* weights, const uint32_t* units) {
  tile_load<6>(weights, 128);
  if (kTwo) {
    tile_load<4>(units, kTileLineBytes);
    units += kTileLines * kTileUnits;
    T::template dot<0, 4, 6>();
  }
  tile_load<7>(weights + kTileLineBytes, 128);
  if (kTwo) T::template dot<1, 4, 7>();
  tile_load<5>(units, kTileLineBytes);
  T::template dot<2, 5, 6>();
  T::template dot<3, 5, 7>();
}

// `units` units from w and a on, which it moves behind them. Left out of line, it would count its
// way in memory.
template <class T, bool kTwo>
__attribute__((always_inline)) inline void walk_tiles(const char*& w, const uint32_t*& a,
                                                      long units, int rows,
                                                      Asking<1>& asking) {
  for (; units >= kTileUnits; units -= kTileUnits, w += kTilesBytes, a += rows * kTileUnits) {
    asking.ask_tile();
    multiply_tiles<T, kTwo>(w, a);
  }
  if (units == 0) return;
  // What follows the panel's last line may be anything: zero times it may be NaN.
  alignas(64) char padded[kTilesBytes] = {};
  __builtin_memcpy(padded, w, size_t(units) * 128);
  multiply_tiles<T, kTwo>(padded, a);
  w += units * 128;
  a += rows * kTileUnits;
}

template <bool kTwo>
void tiles_bf16(const void* panel, const Block* block, long units, long, float* out,
                const perfuse::Ahead& ahead) {
  Asking<1> asking(ahead);
  const char* w = static_cast<const char*>(panel);
  const uint32_t* a = block->units;
  tiles_ready(block->rows - (kTwo ? kTileLines : 0));
  zero_sums<kTwo>();
  walk_tiles<Bf16Tiles, kTwo>(w, a, units, block->rows, asking);
  store_sums<kTwo>(out);
}

// The same numbers as gemm_i8, in the same order where the order matters.
template <bool kTwo>
void tiles_i8(const void* panel, const Block* block, long units, long group_units, float* out,
              const perfuse::Ahead& ahead) {
  Asking<1> asking(ahead);
  const int rows = block->rows;
  const char* w = static_cast<const char*>(panel);
  const uint32_t* a = block->units;
  const float* scales = block->scales;
  const int32_t* sums = block->sums;
  alignas(64) int32_t dots[perfuse::kTileRows * kColumns];
  tiles_ready(rows - (kTwo ? kTileLines : 0));
  for (long begin = 0; begin < units; begin += group_units, scales += rows, sums += rows) {
    zero_sums<kTwo>();
    walk_tiles<Int8Tiles, kTwo>(w, a, begin + group_units < units ? group_units : units - begin,
                                rows, asking);
    store_sums<kTwo>(dots);
    for (int m = 0; m < rows; ++m) {
      const VI zero = splat_int(-128 * sums[m]);  // weights are 128 too large
      const VF scale = splat(scales[m]);
      for (int at = m * kColumns; at < (m + 1) * kColumns; at += 16) {
        const VF total = begin == 0 ? splat(0) : load(out + at);
        store(out + at, fma(to_float(add_int(load_int(dots + at), zero)), scale, total));
      }
    }
  }
  asking.ask();
  const float* columns = reinterpret_cast<const float*>(w);
  const VF s0 = load(columns), s1 = load(columns + 16);
  for (int m = 0; m < rows; ++m, out += kColumns) {
    store(out, mul(load(out), s0));
    store(out + 16, mul(load(out + 16), s1));
  }
}

// Four sums, four operands: as many dot products side by side as products have.
template <class T>
double peak_of_tiles(long rounds) {
  tiles_ready(kTileLines);
  zero_sums<true>();
  tile_zero<4>(), tile_zero<5>(), tile_zero<6>(), tile_zero<7>();
  for (long round = 0; round < rounds; ++round) {
    T::template dot<0, 4, 6>();
    T::template dot<1, 4, 7>();
    T::template dot<2, 5, 6>();
    T::template dot<3, 5, 7>();
  }
  return 2.0 * double(rounds) * 4 * kTileLines * kTileLines * kTileUnits * T::kChannels;
}

// What tiles do instead of vectors; the vectors are those of `base`.
Table with_tile_products(const char* name, const Table& base) {
  Table table = base;
  table.name = name;
  table.release = tiles_release;
  table.tile_rows[perfuse::BF16] = 1;
  table.tile_rows[perfuse::I8] = kInt8TileRows;
  table.peak[perfuse::BF16] = peak_of_tiles<Bf16Tiles>;
  table.peak[perfuse::I8] = peak_of_tiles<Int8Tiles>;
  const perfuse::Kind kinds[] = {perfuse::BF16, perfuse::I8};
  for (const perfuse::Kind kind : kinds) {
    table.rows_max[kind] = perfuse::kTileRows;
    for (int rows = table.tile_rows[kind]; rows <= perfuse::kTileRows; ++rows) {
      const bool two = rows > kTileLines, bf16 = kind == perfuse::BF16;
      table.gemm[kind][rows] = bf16 ? two ? tiles_bf16<true> : tiles_bf16<false>
                                    : two ? tiles_i8<true> : tiles_i8<false>;
    }
  }
  return table;
}

}  // namespace
