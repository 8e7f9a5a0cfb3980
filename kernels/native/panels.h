// Packing weights into panels and activations into blocks; see table.h for the layouts.
#pragma once
#include <algorithm>
#include <type_traits>
#include <vector>

#include "arguments.h"
#include "memory.h"
#include "table.h"

namespace perfuse {

Kind kind_named(const Argument& argument);
const char* kind_name(Kind kind);

// 4-byte units along k, padded channels included.
long num_units(Kind kind, long channels);
size_t panel_bytes(Kind kind, long channels);
// Bytes of weights that a k unit takes: for the hints of what to load next.
inline long unit_bytes(Kind kind) { return kind == I4 ? 64 : 128; }
inline long num_groups(long channels) { return (channels + kGroup - 1) / kGroup; }

// Packs 32 rows of weights (nullptr: a column of zeros), each `channels` fp32, into one panel.
// Throws std::invalid_argument where int8 or int4 meet NaN or infinity.
void pack_panel(Kind kind, const float* const* rows, long channels, char* panel);

// A weight matrix [rows, channels], float32 or bf16 as uint16, read row by row as fp32.
class Rows {
 public:
  Rows(const Argument& argument, const char* name, long rows, long channels);
  void read(long row, float* out) const;

 private:
  const Array& array_;
  long channels_;
};

// Rows of fp32 input at any stride and alignment.
void read_floats(const Array& array, long row, long channels, float* out);

// Rows of fp32 that lie without gaps and aligned, `stride` apart (in floats): the array's own where
// they do, else a copy in scratch, which must have room for whole_rows_bytes.
size_t whole_rows_bytes(const Array& array);
const float* whole_rows(const Array& array, Scratch& scratch, long& stride);

// Activations of a call: rows converted once, then gathered into blocks.
struct Activations {
  Kind kind;
  long channels, units, groups;
  long words;        // units of a row, and zeros up to a whole tile
  long group_units;  // units that share a scale; groups follow from it
  uint32_t* rows;    // [row][words]
  float* scales;     // [row][group]
  int32_t* sums;     // [row][group]

  static size_t bytes(Kind kind, long rows, long channels);
  static Activations in(Scratch& scratch, Kind kind, long rows, long channels);
  void convert(const float* in, long row) const;
  // Interleaves rows[index[0 .. count-1]] as table.h says; a single row needs no copy.
  static size_t block_bytes(Kind kind, long rows, long channels);
  Block gather(const int32_t* index, int count, char* room) const;
};

// Rows in as few blocks as can be. Vectors take time by the row: blocks are as even as can be.
// Tiles take time by 16 rows, and must be set up anew for another number of rows: all blocks but
// the last are whole.
struct Split {
  long rows, count, most;
  bool whole;

  static Split of(const Table& table, Kind kind, long rows) {
    const long most = table.rows_max[kind];
    return {rows, (rows + most - 1) / most, most, table.has_tiles(kind)};
  }
  // First row of block b; of b = count, the number of rows.
  long begin(long b) const { return whole ? std::min(b * most, rows) : rows * b / count; }
};

}  // namespace perfuse
