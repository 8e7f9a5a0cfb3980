#include "panels.h"

#include <cmath>

#include "cpu.h"

namespace perfuse {
namespace {

const char* const kNames[NUM_KINDS] = {"fp32", "bf16", "int8", "int4"};

uint16_t bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if (x != x) return uint16_t((bits | 0x400000) >> 16);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float widened(uint16_t half) {
  const uint32_t bits = uint32_t{half} << 16;
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

// The value of largest magnitude, with its sign.
float extreme(const float* row, long count) {
  float most = 0;
  for (long k = 0; k < count; ++k) {
    if (!std::isfinite(row[k])) refuse("weights for int8 and int4 must be finite");
    if (std::fabs(row[k]) > std::fabs(most)) most = row[k];
  }
  return most;
}

void pack_i8(const float* row, long channels, long units, int column, char* panel) {
  const float most = std::fabs(extreme(row, channels));
  const float inverse = most > 0 ? 127.0f / most : 0.0f;
  for (long k = 0; k < units * 4; ++k) {
    float code = k < channels ? std::nearbyintf(row[k] * inverse) : 0.0f;
    code = code > 127.0f ? 127.0f : code < -127.0f ? -127.0f : code;
    panel[(k / 4) * 128 + column * 4 + k % 4] = char(int(code) + 128);
  }
  const float scale = most / 127.0f;
  std::memcpy(panel + units * 128 + column * 4, &scale, 4);
}

// The extreme value becomes -8, the end of the range that has one step more.
void pack_i4(const float* row, long channels, long units, int column, char* panel) {
  for (long begin = 0; begin < channels; begin += kGroup) {
    const long size = begin + kGroup < channels ? kGroup : channels - begin;
    const uint16_t half = bf16(extreme(row + begin, size) / -8.0f);
    const float scale = widened(half), inverse = scale != 0 ? 1.0f / scale : 0.0f;
    std::memcpy(panel + column * 2, &half, 2);
    panel += 64;
    const long begin_unit = begin / 4;
    const long lines = (begin_unit + kGroupUnits < units ? kGroupUnits : units - begin_unit) / 2;
    for (long line = 0; line < lines; ++line, panel += 128) {
      for (int j = 0; j < 4; ++j) {
        int pair[2];
        for (int half_line = 0; half_line < 2; ++half_line) {
          const long k = begin + line * 8 + half_line * 4 + j;
          float code = k < channels ? std::nearbyintf(row[k] * inverse) + 8.0f : 8.0f;
          code = code > 15.0f ? 15.0f : code < 0.0f ? 0.0f : code;
          pair[half_line] = int(code);
        }
        panel[column * 4 + j] = char(pair[0] | pair[1] << 4);
      }
    }
  }
}

}  // namespace

Kind kind_named(const Argument& argument) {
  const std::string name = argument.type == Argument::TEXT ? argument.text : "not text";
  for (int kind = 0; kind < NUM_KINDS; ++kind) {
    if (name == kNames[kind]) return Kind(kind);
  }
  refuse("kind is '" + name + "'; it must be fp32, bf16, int8 or int4");
}

const char* kind_name(Kind kind) { return kNames[kind]; }

long num_units(Kind kind, long channels) {
  switch (kind) {
    case F32: return channels;
    case BF16: return (channels + 1) / 2;
    case I8: return (channels + 3) / 4;
    default: return (channels + 7) / 8 * 2;
  }
}

size_t panel_bytes(Kind kind, long channels) {
  const size_t units = size_t(num_units(kind, channels));
  if (kind == I8) return units * 128 + 128;
  if (kind == I4) return units * 64 + size_t(num_groups(channels)) * 64;
  return units * 128;
}

void pack_panel(Kind kind, const float* const* rows, long channels, char* panel) {
  const long units = num_units(kind, channels);
  std::vector<float> zeros;
  for (int column = 0; column < kColumns; ++column) {
    const float* row = rows[column];
    if (!row) {
      zeros.resize(size_t(channels));
      row = zeros.data();
    }
    if (kind == F32) {
      for (long k = 0; k < channels; ++k) std::memcpy(panel + k * 128 + column * 4, row + k, 4);
    } else if (kind == BF16) {
      for (long k = 0; k < units * 2; ++k) {
        const uint16_t half = k < channels ? bf16(row[k]) : uint16_t{0};
        std::memcpy(panel + (k / 2) * 128 + column * 4 + k % 2 * 2, &half, 2);
      }
    } else if (kind == I8) {
      pack_i8(row, channels, units, column, panel);
    } else {
      pack_i4(row, channels, units, column, panel);
    }
  }
}

Rows::Rows(const Argument& argument, const char* name, long rows, long channels)
    : array_(array(argument, name, 2, {"float32", "uint16"})), channels_(channels) {
  expect(array_, name, 0, rows);
  expect(array_, name, 1, channels);
}

void Rows::read(long row, float* out) const {
  if (array_.is("float32")) return read_floats(array_, row, channels_, out);
  for (long k = 0; k < channels_; ++k) out[k] = widened(element<uint16_t>(array_, row, k));
}

void read_floats(const Array& array, long row, long channels, float* out) {
  const char* in = array.data + row * array.strides[0];
  if (array.rows_are_whole(4)) {
    std::memcpy(out, in, size_t(channels) * 4);
    return;
  }
  for (long k = 0; k < channels; ++k) std::memcpy(out + k, in + k * array.strides[1], 4);
}

namespace {
bool lies_whole(const Array& array) {
  return array.rows_are_whole(4) && array.strides[0] % 4 == 0 &&
         reinterpret_cast<uintptr_t>(array.data) % 4 == 0;
}
}  // namespace

size_t whole_rows_bytes(const Array& array) {
  return lies_whole(array) ? 0 : Scratch::round_up(size_t(array.count()) * 4);
}

const float* whole_rows(const Array& array, Scratch& scratch, long& stride) {
  if (lies_whole(array)) {
    stride = array.strides[0] / 4;
    return reinterpret_cast<const float*>(array.data);
  }
  stride = array.shape[1];
  float* copy = scratch.take<float>(size_t(array.count()));
  for (long row = 0; row < array.shape[0]; ++row) {
    read_floats(array, row, stride, copy + row * stride);
  }
  return copy;
}

size_t Activations::bytes(Kind kind, long rows, long channels) {
  const size_t groups = size_t(num_groups(channels));
  const long words = kernels().row_words(kind, num_units(kind, channels));
  return Scratch::round_up(size_t(rows * words) * 4) +
         2 * Scratch::round_up(size_t(rows) * groups * 4);
}

Activations Activations::in(Scratch& scratch, Kind kind, long rows, long channels) {
  Activations a{};
  a.kind = kind;
  a.channels = channels;
  a.units = num_units(kind, channels);
  a.words = kernels().row_words(kind, a.units);
  a.groups = num_groups(channels);
  a.group_units = kGroupUnits;
  a.rows = scratch.take<uint32_t>(size_t(rows * a.words));
  a.scales = scratch.take<float>(size_t(rows * a.groups));
  a.sums = scratch.take<int32_t>(size_t(rows * a.groups));
  return a;
}

void Activations::convert(const float* in, long row) const {
  const Table& table = kernels();
  uint32_t* const wide = rows + row * words;
  if (kind == F32) {
    std::memcpy(wide, in, size_t(channels) * 4);
    return;
  }
  // Where units are widened: they stand in the second half, of which none is overwritten unread.
  uint32_t* const out = table.widen[kind] ? wide + units : wide;
  std::fill(out + std::max(0L, units - 2), wide + words, 0u);  // the channels past the end
  if (kind == BF16) {
    table.to_bf16(in, channels, reinterpret_cast<uint16_t*>(out));
  } else {
    table.to_int8(in, channels, group_units * 4, reinterpret_cast<int8_t*>(out),
                  scales + row * groups, sums + row * groups);
  }
  if (table.widen[kind]) table.widen[kind](out, units, wide);
}

size_t Activations::block_bytes(Kind kind, long rows, long channels) {
  return bytes(kind, rows, channels);
}

Block Activations::gather(const int32_t* index, int count, char* room) const {
  Block block{};
  block.rows = count;
  if (count == 1) {
    block.units = rows + index[0] * words;
    block.scales = scales + index[0] * groups;
    block.sums = sums + index[0] * groups;
    return block;
  }
  const int run = kernels().run(kind, count);
  const auto interleave = [&](const auto* from, long length, int run) {
    auto* to = reinterpret_cast<std::remove_const_t<std::remove_pointer_t<decltype(from)>>*>(room);
    for (int m = 0; m < count; ++m) {
      const auto* row = from + index[m] * length;
      for (long k = 0; k < length; ++k) to[k / run * run * count + m * run + k % run] = row[k];
    }
    room += Scratch::round_up(size_t(length * count) * 4);
    return to;
  };
  block.units = interleave(rows, words, run);
  if (kind == I8 || kind == I4) {
    block.scales = interleave(scales, groups, 1);
    block.sums = interleave(sums, groups, 1);
  }
  return block;
}

}  // namespace perfuse
