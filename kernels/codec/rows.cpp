// Rows on a wire whose messages are arrays of one row each: bf16, or int8 codes with their scales.
//
// An int8 row is a packed one (packed_row.h) without the padding behind it.
#include <cstring>

#include "../native/cpu.h"
#include "packed_row.h"
#include "rows.h"

namespace perfuse {
namespace {

// The rows that travel are bytes, and may lie anywhere in a frame: scales go through scratch.
struct Scales {
  Scratch& scratch;
  float* scales;
  int32_t* sums;
  float* numbers;

  static Scales of(long hidden) {
    const size_t groups = size_t(num_groups(hidden)) + 16;
    Scratch& scratch = Scratch::begin((size_t(hidden) + 16) * 4 + groups * 8 + 512);
    return {scratch, scratch.take<float>(groups), scratch.take<int32_t>(groups),
            scratch.take<float>(size_t(hidden) + 16)};
  }
};

// In line: a known stride lets the compiler take many at once.
inline void widen(const char* from, long stride, long hidden, uint32_t* to) {
  for (long h = 0; h < hidden; ++h) {
    uint16_t bits;
    std::memcpy(&bits, from + h * stride, sizeof bits);
    to[h] = uint32_t{bits} << 16;
  }
}

void to_bf16(const Argument* a, Result&) {
  const Array& x = array(a[0], "x_TH", 2, {"float32"});
  const Array& rows = output(a[1], "rows_TH", 2, "uint16", 2);
  const long tokens = x.shape[0], hidden = x.shape[1];
  expect(rows, "rows_TH", 0, tokens);
  expect(rows, "rows_TH", 1, hidden);
  const Scales room = Scales::of(hidden);
  for (long t = 0; t < tokens; ++t) {
    read_floats(x, t, hidden, room.numbers);
    kernels().to_bf16(room.numbers, hidden, reinterpret_cast<uint16_t*>(rows.data) + t * hidden);
  }
}

void from_bf16(const Argument* a, Result&) {
  const Array& rows = array(a[0], "rows_TH", 2, {"uint16"});
  const Array& out = output(a[1], "out_TH", 2, "float32", 4);
  const long tokens = rows.shape[0], hidden = rows.shape[1];
  expect(out, "out_TH", 0, tokens);
  expect(out, "out_TH", 1, hidden);
  for (long t = 0; t < tokens; ++t) {
    uint32_t* to = reinterpret_cast<uint32_t*>(out.data) + t * hidden;
    const char* from = rows.data + t * rows.strides[0];
    if (rows.rows_are_whole(2)) {
      widen(from, 2, hidden, to);
    } else {
      widen(from, rows.strides[1], hidden, to);
    }
  }
}

void to_int8(const Argument* a, Result&) {
  const Array& x = array(a[0], "x_TH", 2, {"float32"});
  const Array& rows = output(a[1], "rows_TB", 2, "uint8", 1);
  const long tokens = x.shape[0], hidden = x.shape[1];
  expect(rows, "rows_TB", 0, tokens);
  expect(rows, "rows_TB", 1, int8_row_bytes(hidden));
  const long codes_end = packed_scales_at(hidden), scale_bytes = num_groups(hidden) * 4;
  const Scales room = Scales::of(hidden);
  for (long t = 0; t < tokens; ++t) {
    char* to = rows.data + t * int8_row_bytes(hidden);
    read_floats(x, t, hidden, room.numbers);
    kernels().to_int8(room.numbers, hidden, kGroup, reinterpret_cast<int8_t*>(to), room.scales,
                      room.sums);
    std::memset(to + hidden, 0, size_t(codes_end - hidden));
    std::memcpy(to + codes_end, room.scales, size_t(scale_bytes));
  }
}

void from_int8(const Argument* a, Result&) {
  const Array& rows = array(a[0], "rows_TB", 2, {"uint8"});
  const Array& out = output(a[1], "out_TH", 2, "float32", 4);
  const long tokens = rows.shape[0], hidden = out.shape[1];
  expect(out, "out_TH", 0, tokens);
  expect(rows, "rows_TB", 1, int8_row_bytes(hidden));
  if (!rows.rows_are_whole(1)) refuse("rows of rows_TB must lie without gaps");
  const Scales room = Scales::of(hidden);
  for (long t = 0; t < tokens; ++t) {
    const char* from = rows.data + t * rows.strides[0];
    std::memcpy(room.scales, from + packed_scales_at(hidden), size_t(num_groups(hidden)) * 4);
    kernels().from_int8(reinterpret_cast<const int8_t*>(from), room.scales, hidden,
                        reinterpret_cast<float*>(out.data) + t * hidden);
  }
}

}  // namespace

Functions row_functions() {
  return {{"codec_to_bf16", to_bf16, 2, false},
          {"codec_from_bf16", from_bf16, 2, false},
          {"codec_to_int8", to_int8, 2, false},
          {"codec_from_int8", from_int8, 2, false}};
}

}  // namespace perfuse
