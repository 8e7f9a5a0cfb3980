// Activations as the products read them: converted once, in blocks of rows; see table.h.
//
// Views of room that the caller owns: cheap to make, so each thread of a region may make its own.
// Whoever writes a piece of a block touches nothing of the other pieces.
#pragma once
#include "cpu.h"
#include "panels.h"

namespace perfuse {

// Room for `rows` rows, of which any neighbours may form a block.
class Blocks {
 public:
  Blocks(Kind kind, long channels, long rows, Room& room);

  Block at(long first_row, int rows) const {
    return {units_ + first_row * words, scales_ + first_row * groups, sums_ + first_row * groups,
            rows};
  }
  // Channels begin .. begin + size - 1 of a block's rows, of which row m lies at values + m *
  // stride. begin is a multiple of 16, and of kGroup where scales are made (int8, int4); size is
  // at most kGroup. Writes the padding too where the piece is the last.
  void write(const Table& table, const Block& block, const float* values, long stride, long begin,
             long size) const;
  // A block of rows that lie in `from`, each of them as a block of one row.
  void gather(const Block& block, const Blocks& from, const int32_t* rows) const;

  const Kind kind;
  const long channels, units, groups;
  const long words;  // units of a row, and zeros up to a whole tile

 private:
  uint32_t* units_;
  float* scales_;
  int32_t* sums_;
};

// The rows of one product, or of several with the same kind and channels, in blocks as even as can
// be. One phase prepares it, `team.each(input.num_items(), ...)`, the next one reads it.
class Input {
 public:
  Input(Kind kind, long channels, long rows, char* room)
      : Input(kind, channels, rows, Room(room)) {}
  static size_t bytes(Kind kind, long channels, long rows) {
    return Input(kind, channels, rows, nullptr).bytes_;
  }
  // First row of a block; of num_blocks, the number of rows.
  long begin(long b) const { return split_.begin(b); }
  Block block(long b) const { return blocks.at(begin(b), int(begin(b + 1) - begin(b))); }
  long num_items() const { return num_blocks * num_pieces(); }
  // x: fp32, row t at x + t * stride.
  void prepare(long item, const float* x, long stride) const;

 private:
  const Split split_;

 public:
  const long rows, num_blocks;
  const Blocks blocks;

 private:
  Input(Kind kind, long channels, long rows, Room room)
      : split_(Split::of(kernels(), kind, rows)), rows(rows), num_blocks(split_.count),
        blocks(kind, channels, rows, room), bytes_(room.used()) {}

  // Channels that one item converts: large enough to be worth taking.
  static constexpr long kPiece = 4 * kGroup;
  long num_pieces() const { return (blocks.channels + kPiece - 1) / kPiece; }

  const size_t bytes_;
};

}  // namespace perfuse
