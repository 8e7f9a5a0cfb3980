// Eight tiles of 16 rows x 64 bytes, and what a product asks of them. Two files implement it:
// tiles_amx.h with the instructions, tiles_emulated.h in plain C++ with what Intel's manual says
// that they do, so that tests run the same products on every machine.
//
//   tiles_ready(last_rows)       sets this thread's tiles up, unless they are; see TileConfig
//   tiles_release()              gives them back
//   tile_zero<T>()
//   tile_load<T>(from, stride)   stride in bytes from row to row
//   tile_store<T>(to, stride)
//   tile_dot_bf16<C, A, B>()     C += A x B, rows of A with pairs of lines of B
//   tile_dot_int8<C, A, B>()     the same of fours, A signed and B unsigned
#pragma once
#include <stdint.h>

namespace {

constexpr int kTileLines = 16;      // rows of a whole tile
constexpr int kTileLineBytes = 64;

// As LDTILECFG reads it. Products use the tiles in one way:
//
//   0 1   sums of the first 16 rows, left and right columns     4   activations of these rows
//   2 3   sums of the last rows, 1 to 16                        5   activations of these rows
//   6 7   weights, left and right columns
//
// Up to 16 rows are last rows only: what is set up depends on one number.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t line_bytes[16] = {};
  uint8_t lines[16] = {};

  explicit TileConfig(int last_rows) {
    for (int tile = 0; tile < 8; ++tile) {
      const bool last = tile == 2 || tile == 3 || tile == 5;
      line_bytes[tile] = kTileLineBytes;
      lines[tile] = uint8_t(last ? last_rows : kTileLines);
    }
  }
};
static_assert(sizeof(TileConfig) == 64, "LDTILECFG reads 64 bytes");

}  // namespace
