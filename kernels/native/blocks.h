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
    return {units_ + first_row * units, scales_ + first_row * groups, sums_ + first_row * groups,
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
  Block block(long b) const {
    const long begin = rows * b / num_blocks;
    return blocks.at(begin, int(rows * (b + 1) / num_blocks - begin));
  }
  long num_items() const { return num_blocks * num_pieces(); }
  // x: fp32, row t at x + t * stride.
  void prepare(long item, const float* x, long stride) const;

  const long rows, num_blocks;
  const Blocks blocks;

 private:
  Input(Kind kind, long channels, long rows, Room room)
      : rows(rows), num_blocks(perfuse::num_blocks(rows, kernels().rows_max[kind])),
        blocks(kind, channels, rows, room), bytes_(room.used()) {}

  // Channels that one item converts: large enough to be worth taking.
  static constexpr long kPiece = 4 * kGroup;
  long num_pieces() const { return (blocks.channels + kPiece - 1) / kPiece; }

  const size_t bytes_;
};

}  // namespace perfuse
