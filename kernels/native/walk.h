// One panel times all blocks of rows: the inner step of linear, moe and scan.
#pragma once
#include "cpu.h"
#include "panels.h"

namespace perfuse {

// Beyond this a whole panel ahead would push the present one out of a second-level cache of 1 MiB.
constexpr size_t kAheadMax = size_t{256} << 10;
constexpr long kAheadNear = 8192;

// While a panel is multiplied, the one after it is fetched: a stream never stops at the end of a
// panel or page, and where several blocks take turns on one panel, memory is busy during all of
// them. `emit(block, product)` gets 32 fp32 a row.
template <class Emit>
inline void times_blocks(const Table& table, Kind kind, const char* panel, size_t bytes,
                         const char* next, long units, long group_units, const Block* blocks,
                         long count, Emit emit) {
  alignas(64) float product[kRowsMax * kColumns];
  for (long b = 0; b < count; ++b) {
    const char* ahead = panel;
    long step = 0;
    if (bytes > kAheadMax) {
      if (b == 0) ahead = panel + kAheadNear, step = 128;
    } else if (count == 1) {
      ahead = next, step = 128;
    } else if (b < 2) {
      ahead = next + b * (bytes / 2), step = 64;
    }
    table.gemm[kind][blocks[b].rows](panel, &blocks[b], units, group_units, product, ahead, step);
    emit(b, product);
  }
}

}  // namespace perfuse
