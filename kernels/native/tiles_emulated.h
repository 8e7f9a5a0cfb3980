// Tiles in plain C++, bit for bit what the Intel 64 and IA-32 Architectures Software Developer's
// Manual, volume 2 (LDTILECFG, TILELOADD, TILESTORED, TDPBF16PS, TDPBSUD) says of the instructions;
// what would be an invalid opcode there ends the process here too.
#pragma once
#include <math.h>
#include <string.h>

#include "tiles.h"

namespace {

struct Tiles {
  int last_rows = 0;  // as in tiles_amx.h
  TileConfig config{0};
  alignas(64) char lines[8][kTileLines][kTileLineBytes];
};
thread_local Tiles tiles;

inline void tile_check(bool valid) {
  if (!valid) __builtin_trap();
}

inline void tiles_ready(int last_rows) {
  if (tiles.last_rows == last_rows) return;
  tile_check(last_rows >= 1 && last_rows <= kTileLines);
  tiles.config = TileConfig(last_rows);
  memset(tiles.lines, 0, sizeof tiles.lines);
  tiles.last_rows = last_rows;
}

inline void tiles_release() { tiles.last_rows = 0; }

template <int T>
inline void tile_zero() {
  tile_check(tiles.last_rows > 0);
  memset(tiles.lines[T], 0, sizeof tiles.lines[T]);
}

template <int T>
inline void tile_load(const void* from, long stride) {
  tile_zero<T>();
  for (int line = 0; line < tiles.config.lines[T]; ++line) {
    memcpy(tiles.lines[T][line], static_cast<const char*>(from) + line * stride,
           tiles.config.line_bytes[T]);
  }
}

template <int T>
inline void tile_store(void* to, long stride) {
  tile_check(tiles.last_rows > 0);
  for (int line = 0; line < tiles.config.lines[T]; ++line) {
    memcpy(static_cast<char*>(to) + line * stride, tiles.lines[T][line],
           tiles.config.line_bytes[T]);
  }
}

// Subnormal numbers are zeros with their sign, whatever the processor's own mode.
inline float tile_flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x; }

// The float nearest to a wide sum, or zero where that is subnormal: found before it is rounded to a
// subnormal's fewer bits. The bound is half a step below the smallest normal number.
inline float tile_rounded(double wide) {
  return fabs(wide) < 0x1.ffffffp-127 ? float(copysign(0.0, wide)) : float(wide);
}

// One rounding, as a fused operation has: the product of two bf16 is exact in float64, and where
// the sum is not, its smaller part is too small to matter to a float.
inline float tile_fma(float a, float b, float sum) {
  return tile_rounded(double(sum) + double(a) * double(b));
}

inline float tile_bf16(const char* bytes) {
  uint16_t half;
  memcpy(&half, bytes, 2);
  const uint32_t bits = uint32_t{half} << 16;
  float x;
  memcpy(&x, &bits, 4);
  return tile_flushed(x);
}

template <int C, int A, int B>
inline void tile_shapes() {
  const TileConfig& config = tiles.config;
  tile_check(tiles.last_rows > 0 && C != A && C != B && A != B &&
             config.lines[C] == config.lines[A] && config.line_bytes[A] == 4 * config.lines[B] &&
             config.line_bytes[C] == config.line_bytes[B]);
}

// The even and the odd channels each have a chain of their own; what the two come to is added to C.
template <int C, int A, int B>
void tile_dot_bf16() {
  tile_shapes<C, A, B>();
  float weights[2][kTileLines][16];
  for (int k = 0; k < kTileLines; ++k) {
    for (int n = 0; n < 32; ++n) weights[n % 2][k][n / 2] = tile_bf16(tiles.lines[B][k] + 2 * n);
  }
  for (int m = 0; m < tiles.config.lines[C]; ++m) {
    float even[16] = {}, odd[16] = {}, sums[16];
    for (int k = 0; k < kTileLines; ++k) {
      const float a0 = tile_bf16(tiles.lines[A][m] + 4 * k);
      const float a1 = tile_bf16(tiles.lines[A][m] + 4 * k + 2);
      for (int n = 0; n < 16; ++n) {
        even[n] = tile_fma(a0, weights[0][k][n], even[n]);
        odd[n] = tile_fma(a1, weights[1][k][n], odd[n]);
      }
    }
    memcpy(sums, tiles.lines[C][m], sizeof sums);
    for (int n = 0; n < 16; ++n) {
      const float both = tile_rounded(double(even[n]) + double(odd[n]));
      sums[n] = tile_rounded(double(tile_flushed(sums[n])) + double(both));
    }
    memcpy(tiles.lines[C][m], sums, sizeof sums);
  }
}

template <int C, int A, int B>
void tile_dot_int8() {
  tile_shapes<C, A, B>();
  for (int m = 0; m < tiles.config.lines[C]; ++m) {
    uint32_t sums[16];  // they wrap
    memcpy(sums, tiles.lines[C][m], sizeof sums);
    for (int k = 0; k < kTileLines; ++k) {
      for (int n = 0; n < 16; ++n) {
        for (int i = 0; i < 4; ++i) {
          const int a = static_cast<signed char>(tiles.lines[A][m][4 * k + i]);
          sums[n] += uint32_t(a * static_cast<unsigned char>(tiles.lines[B][k][4 * n + i]));
        }
      }
    }
    memcpy(tiles.lines[C][m], sums, sizeof sums);
  }
}

}  // namespace
