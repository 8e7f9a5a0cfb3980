// What an instruction set offers: one table of C functions, filled by one translation unit each.
//
// All products share one shape. Weights lie in panels of 32 output columns (two 64-byte lines of
// 16), walked along k once; activations lie in blocks of up to rows_max rows, interleaved so that
// one sequential stream of 4-byte units feeds the broadcasts:
//
//   panel   [k unit][32 columns][4 bytes]   a unit is 1 fp32, 2 bf16, or 4 int8 (int4: two units a
// line)
//   block   [k unit][row][4 bytes]
//
// Where tiles multiply, the units of a tile's row lie together instead:
//
//   block   [16 k units][row][16 units][4 bytes]   zeros past the last unit
//
// And where a product reads a unit's channels wider than they are (Table::widen), two words a unit:
//
//   block   [k unit][2 words][row][4 bytes]
//
// Each output has one chain of accumulation along k, whatever the number of rows beside it: a row's
// bits do not depend on the batch, in every kind.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "../attention/chunk.h"
#include "../mla/latent_table.h"
#include "../sampling/weights.h"

namespace perfuse {

enum Kind { F32 = 0, BF16 = 1, I8 = 2, I4 = 3, NUM_KINDS = 4 };

constexpr int kLanes = 16;         // outputs in a line
constexpr int kColumns = 32;       // outputs in a panel
constexpr int kGroup = 128;        // channels that share a scale
constexpr int kGroupUnits = 32;    // the same in units of four int8
constexpr int kRowsMax = 12;       // rows in the largest block that vectors multiply
constexpr int kTileUnits = 16;     // units of a row that a tile takes, lines of weights in a tile
constexpr int kTileRows = 32;      // rows in the largest block that tiles multiply: two tiles
constexpr int kBlockRowsMax = kRowsMax > kTileRows ? kRowsMax : kTileRows;

// Rows of activations as the products read them. scales and sums exist for int8 and int4 only, one
// for each group of kGroup channels and row: [group][row].
struct Block {
  const uint32_t* units;
  const float* scales;
  const int32_t* sums;
  int rows;
};

// Blocks of up to this many rows are done with a line before the next one comes: the hint is for
// the first cache, a little ahead. Larger ones compute meanwhile: for the second, a panel ahead.
// On Zen 4, one thread: 1 row 104 % of the read probe near, 80 % far; 4 rows 91 and 77; 8 rows 76
// and 88. Tiles are always done: at most 64 cycles for 2 KiB.
constexpr int kNearRows = 5;
constexpr int kReadWays = 4;

// What a product asks for while it runs: `step` bytes for each 128 bytes of weights, from `at` on
// for `bytes`, a multiple of 64, then from `then` on. 0 bytes: no end.
struct Ahead {
  const char* at;
  long step;
  long bytes;
  const char* then;
};

// out[row * 32 + column]. group_units: units that share an activation scale (int8 only).
using Gemm = void (*)(const void* panel, const Block* block, long units, long group_units,
                      float* out, const Ahead& ahead);

struct Table {
  const char* name;
  int rows_max[NUM_KINDS];
  // Tiles multiply blocks of this many rows and more; above rows_max where there are none.
  int tile_rows[NUM_KINDS];
  Gemm gemm[NUM_KINDS][kBlockRowsMax + 1];  // by rows, 1 .. rows_max
  // Makes two words of each unit, as products read them; nullptr where they read units.
  void (*widen[NUM_KINDS])(const uint32_t* units, long count, uint32_t* out);
  // Gives back what products set up in this thread (tiles); nullptr where it is nothing.
  void (*release)();

  bool has_tiles(Kind kind) const { return tile_rows[kind] <= rows_max[kind]; }
  // Units of a row that lie together in a block.
  int run(Kind kind, int rows) const { return rows >= tile_rows[kind] ? kTileUnits : 1; }
  // Words that a row of `units` takes in a block.
  long row_words(Kind kind, long units) const {
    if (widen[kind]) return 2 * units;
    return has_tiles(kind) ? (units + kTileUnits - 1) / kTileUnits * kTileUnits : units;
  }

  // Multiplies and adds on registers alone; returns the operations done, a multiply-add being two.
  double (*peak[NUM_KINDS])(long rounds);
  // Loads all bytes, none of which can be left out, with different hints: which is the fastest
  // differs by machine, and by what its other guests do.
  uint64_t (*read[kReadWays])(const void* data, size_t bytes);
  // fp32 to bf16, round to nearest even, NaN stays NaN; count elements.
  void (*to_bf16)(const float* in, long count, uint16_t* out);
  // Symmetric int8 with one scale for each `group` channels; sums are of the codes.
  void (*to_int8)(const float* in, long count, long group, int8_t* out, float* scales,
                  int32_t* sums);
  // in[row][gate 16 | up 16] -> out[row * stride + 0..15] = silu(gate) * up
  void (*silu_product)(const float* in, int rows, float* out, long stride);
  // out[i] += weight * in[i]
  void (*add_scaled)(const float* in, float weight, long count, float* out);
  // out[i] += weight * in[i] in float64, each term rounded to a multiple of 2^-32
  void (*add_on_grid)(const float* in, float weight, long count, double* out);
  // Bit i says in[i] > threshold or, where `from` <= i, ... ; NaN is never above.
  uint32_t (*above)(const float* in, float threshold);
  // out[i] = codes[i] * scales[i / kGroup]
  void (*from_int8)(const int8_t* codes, const float* scales, long count, float* out);
  // out[i] = sum over rows, in order, of codes[row][i] * scales[row][i / kGroup]
  void (*sum_int8)(const int8_t* const* codes, const float* const* scales, int rows, long count,
                   float* out);
  // out[i] += in[i]
  void (*add)(const float* in, long count, float* out);
  AttendChunk attend_chunk[3][kRowsMax + 1];  // fp32, bf16, int8; by rows, 1 .. attend_rows_max
  int attend_rows_max;
  int attend_words[3];  // of a unit of queries, see QueryBlock
  LatentTable latent;
  // out = in / sqrt(mean(in^2) + eps) * weight
  void (*rms_norm)(const float* in, const float* weight, float eps, long count, float* out);
  // In place: x[i] and x[half + i] turn by the angle of (cosines[i], sines[i]).
  void (*rotate)(float* x, const float* cosines, const float* sines, long half);
  // In place, over `count` values.
  void (*softmax)(float* x, long count);
  void (*sigmoid)(float* x, long count);
  SamplingTable sampling;
};

const Table& table_amx_emulated();
const Table& table_portable();
#if defined(__x86_64__)
const Table& table_avx2();
const Table& table_avx512();
const Table& table_avx512_bf16();
const Table& table_amx();
#endif

}  // namespace perfuse
