// Tiles as AMX has them. Written as assembler, which is also what GCC's intrinsics expand to: those
// take a tile's number only as a literal, not from a template, and do not tell the compiler that
// they read and write memory.
#pragma once
#include "tiles.h"

namespace {

// Last rows that this thread's tiles are set up for; 0: they are not. Setting up clears all tiles
// and costs more than a product of one row (expected, not measured), so it stays from product to
// product.
thread_local int tiles_set_up = 0;

inline void tiles_ready(int last_rows) {
  if (tiles_set_up == last_rows) return;
  const TileConfig config(last_rows);
  __asm__ volatile("ldtilecfg %0" : : "m"(config));
  tiles_set_up = last_rows;
}

inline void tiles_release() {
  if (tiles_set_up == 0) return;
  __asm__ volatile("tilerelease");
  tiles_set_up = 0;
}

template <int T>
inline void tile_zero() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(T));
}

template <int T>
inline void tile_load(const void* from, long stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(T) : "memory");
}

template <int T>
inline void tile_store(void* to, long stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(T) : "memory");
}

template <int C, int A, int B>
inline void tile_dot_bf16() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
}

template <int C, int A, int B>
inline void tile_dot_int8() {
  __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
}

}  // namespace
