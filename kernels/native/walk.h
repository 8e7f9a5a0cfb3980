// One panel times all blocks of rows: the inner step of linear, moe and scan.
#pragma once
#include <algorithm>

#include "cpu.h"
#include "panels.h"

namespace perfuse {

// 2 KiB to 8 KiB do equally well on Zen 4.
constexpr long kNearBytes = 4096;
// Beyond this a whole panel ahead would push the present one out of a second-level cache of 1 MiB.
constexpr long kFarBytes = long{256} << 10;

// While a panel is multiplied, what comes after it is fetched: a stream never stops at the end of a
// panel or page, and where several blocks take turns on one panel, memory is busy during all of
// them. `block_at(b)` is a Block; `emit(b, product)` gets 32 fp32 a row.
template <class BlockAt, class Emit>
inline void times_blocks(const Table& table, Kind kind, const char* panel, size_t bytes,
                         const char* next, long units, long group_units, long count,
                         BlockAt block_at, Emit emit) {
  alignas(64) float product[kBlockRowsMax * kColumns];
  const long size = long(bytes);
  for (long b = 0; b < count; ++b) {
    const Block block = block_at(b);
    Ahead ahead{panel, 0, 0, panel};
    const bool soon = block.rows <= kNearRows || block.rows >= table.tile_rows[kind];
    if (count == 1 && (soon || size > kFarBytes)) {
      const long near = std::min(kNearBytes, size);
      ahead = {near < size ? panel + near : next, 128, size - near, next};
    } else if (count == 1) {
      ahead = {next, 128, 0, next};
    } else if (b < 2) {
      ahead = {next + b * (size / 2), 64, 0, next};
    }
    table.gemm[kind][block.rows](panel, &block, units, group_units, product, ahead);
    emit(b, product);
  }
}

}  // namespace perfuse
