#include "blocks.h"

#include <algorithm>

namespace perfuse {

Blocks::Blocks(Kind kind_, long channels_, long rows, Room& room)
    : kind(kind_), channels(channels_), units(perfuse::num_units(kind_, channels_)),
      groups(kind_ == I8 || kind_ == I4 ? perfuse::num_groups(channels_) : 0),
      words(kernels().row_words(kind_, units)),
      units_(room.take<uint32_t>(size_t(rows * words))),
      scales_(room.take<float>(size_t(rows * groups))),
      sums_(room.take<int32_t>(size_t(rows * groups))) {}

void Blocks::write(const Table& table, const Block& block, const float* values, long stride,
                   long begin, long size) const {
  const auto widen = table.widen[kind];
  const long a_unit = kind == F32 ? 1 : kind == BF16 ? 2 : 4, each = widen ? 2 : 1;
  const long first = begin / a_unit * each;
  const long count = begin + size == channels ? words - first : size / a_unit * each;
  const long run = table.run(kind, block.rows), offset = first % run;
  // Of the first row of the first tile, of which a piece may have the second half.
  uint32_t* const out = const_cast<uint32_t*>(block.units) + (first - offset) * block.rows + offset;
  alignas(64) uint32_t row[kGroup + kTileUnits], narrow[kGroup];
  for (int m = 0; m < block.rows; ++m, values += stride) {
    uint32_t* const wide = block.rows == 1 ? out : row;
    uint32_t* const to = widen ? narrow : wide;
    if (kind == F32) {
      std::memcpy(to, values, size_t(size) * 4);
    } else {
      // The channels past the end.
      if (begin + size == channels) {
        std::fill(to + std::max(0L, units - begin / a_unit - 2), to + count / each, 0u);
      }
      if (kind == BF16) {
        table.to_bf16(values, size, reinterpret_cast<uint16_t*>(to));
      } else {
        const long group = begin / kGroup * block.rows + m;
        table.to_int8(values, size, kGroup, reinterpret_cast<int8_t*>(to),
                      const_cast<float*>(block.scales) + group,
                      const_cast<int32_t*>(block.sums) + group);
      }
      if (widen) widen(narrow, count / 2, wide);
    }
    if (block.rows == 1) return;
    if (run == 1) {
      for (long u = 0; u < count; ++u) out[u * block.rows + m] = row[u];
      continue;
    }
    for (long u = 0; u < count;) {
      const long at = offset + u, part = std::min(run - at % run, count - u);
      std::memcpy(out - offset + (at - at % run) * block.rows + m * run + at % run, row + u,
                  size_t(part) * 4);
      u += part;
    }
  }
}

void Blocks::gather(const Block& block, const Blocks& from, const int32_t* rows) const {
  const auto interleave = [&](auto* to, const auto* source, long length) {
    const std::remove_pointer_t<decltype(to)>* row[kBlockRowsMax];
    for (int m = 0; m < block.rows; ++m) row[m] = source + rows[m] * length;
    for (long k = 0; k < length; ++k) {
      for (int m = 0; m < block.rows; ++m) *to++ = row[m][k];
    }
  };
  if (kernels().run(kind, block.rows) == kTileUnits) {
    uint32_t* to = const_cast<uint32_t*>(block.units);
    for (long k = 0; k < words; k += kTileUnits) {
      for (int m = 0; m < block.rows; ++m, to += kTileUnits) {
        std::memcpy(to, from.units_ + rows[m] * words + k, kTileUnits * 4);
      }
    }
  } else {
    interleave(const_cast<uint32_t*>(block.units), from.units_, words);
  }
  interleave(const_cast<float*>(block.scales), from.scales_, groups);
  interleave(const_cast<int32_t*>(block.sums), from.sums_, groups);
}

void Input::prepare(long item, const float* x, long stride) const {
  const long b = item / num_pieces(), first = begin(b);
  const Block to = block(b);
  const long start = item % num_pieces() * kPiece;
  const long end = std::min(start + kPiece, blocks.channels);
  for (long at = start; at < end; at += kGroup) {
    const long size = std::min(long{kGroup}, end - at);
    blocks.write(kernels(), to, x + first * stride + at, stride, at, size);
  }
}

}  // namespace perfuse
