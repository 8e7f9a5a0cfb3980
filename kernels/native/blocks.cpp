#include "blocks.h"

#include <algorithm>

namespace perfuse {

Blocks::Blocks(Kind kind_, long channels_, long rows, Room& room)
    : kind(kind_), channels(channels_), units(perfuse::num_units(kind_, channels_)),
      groups(kind_ == I8 || kind_ == I4 ? perfuse::num_groups(channels_) : 0),
      units_(room.take<uint32_t>(size_t(rows * units))),
      scales_(room.take<float>(size_t(rows * groups))),
      sums_(room.take<int32_t>(size_t(rows * groups))) {}

void Blocks::write(const Table& table, const Block& block, const float* values, long stride,
                   long begin, long size) const {
  const long a_unit = kind == F32 ? 1 : kind == BF16 ? 2 : 4, first = begin / a_unit;
  const long count = begin + size == channels ? units - first : size / a_unit;
  uint32_t* const out = const_cast<uint32_t*>(block.units) + first * block.rows;
  alignas(64) uint32_t row[kGroup];
  for (int m = 0; m < block.rows; ++m, values += stride) {
    uint32_t* to = block.rows == 1 ? out : row;
    if (kind == F32) {
      std::memcpy(to, values, size_t(size) * 4);
    } else {
      to[count - 1] = 0;  // the channels past the end
      if (count > 1) to[count - 2] = 0;
      if (kind == BF16) {
        table.to_bf16(values, size, reinterpret_cast<uint16_t*>(to));
      } else {
        const long group = begin / kGroup * block.rows + m;
        table.to_int8(values, size, kGroup, reinterpret_cast<int8_t*>(to),
                      const_cast<float*>(block.scales) + group,
                      const_cast<int32_t*>(block.sums) + group);
      }
    }
    if (block.rows == 1) return;
    for (long u = 0; u < count; ++u) out[u * block.rows + m] = row[u];
  }
}

void Blocks::gather(const Block& block, const Blocks& from, const int32_t* rows) const {
  const auto interleave = [&](auto* to, const auto* source, long length) {
    const std::remove_pointer_t<decltype(to)>* row[kRowsMax];
    for (int m = 0; m < block.rows; ++m) row[m] = source + rows[m] * length;
    for (long k = 0; k < length; ++k) {
      for (int m = 0; m < block.rows; ++m) *to++ = row[m][k];
    }
  };
  interleave(const_cast<uint32_t*>(block.units), from.units_, units);
  interleave(const_cast<float*>(block.scales), from.scales_, groups);
  interleave(const_cast<int32_t*>(block.sums), from.sums_, groups);
}

void Input::prepare(long item, const float* x, long stride) const {
  const long b = item / num_pieces(), first = rows * b / num_blocks;
  const Block to = block(b);
  const long begin = item % num_pieces() * kPiece;
  const long end = std::min(begin + kPiece, blocks.channels);
  for (long at = begin; at < end; at += kGroup) {
    const long size = std::min(long{kGroup}, end - at);
    blocks.write(kernels(), to, x + first * stride + at, stride, at, size);
  }
}

}  // namespace perfuse
