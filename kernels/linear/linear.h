// Dense linear layers at few rows, as phases of a region: weights are read once, whatever the
// number of rows.
//
//   const Input input(kind, channels, rows, room);           // Input::bytes(...) of room
//   team.each(input.num_items(), [&](long i) { input.prepare(i, x, stride); });
//   team.each(linear_items(q), [&](long i) { linear_item(q, input, i, out, out_stride); });
#pragma once
#include <algorithm>
#include <cstring>

#include "../native/blocks.h"
#include "../native/walk.h"

namespace perfuse {

class Linear : public Owned {
 public:
  Linear(Kind kind, long outputs, long channels)
      : kind(kind), outputs(outputs), channels(channels),
        panels((outputs + kColumns - 1) / kColumns), stride(panel_bytes(kind, channels)),
        memory(size_t(panels) * stride) {}
  const char* what() const override { return "linear"; }

  const Kind kind;
  const long outputs, channels, panels;
  const size_t stride;
  const Memory memory;
};

// Below this an item is mostly the cost of taking it.
constexpr size_t kLinearItemBytes = size_t{32} << 10;

inline long linear_panels_an_item(const Linear& linear) {
  return long(std::max(size_t{1}, kLinearItemBytes / linear.stride));
}

inline long linear_items(const Linear& linear) {
  const long an_item = linear_panels_an_item(linear);
  return (linear.panels + an_item - 1) / an_item;
}

// `emit(row, column, width, values)` gets each row's outputs column .. column + width - 1, at most
// 32, once. The input has the kind and channels of the layer.
template <class Emit>
inline void linear_item_to(const Linear& linear, const Input& input, long item, Emit emit) {
  const long an_item = linear_panels_an_item(linear);
  const long end = std::min((item + 1) * an_item, linear.panels);
  for (long panel = item * an_item; panel < end; ++panel) {
    const char* data = linear.memory.data() + size_t(panel) * linear.stride;
    const long column = panel * kColumns;
    const long width = std::min(long{kColumns}, linear.outputs - column);
    long row = 0;
    times_blocks(kernels(), linear.kind, data, linear.stride, data + linear.stride,
                 input.blocks.units, kGroupUnits, input.num_blocks,
                 [&](long b) { return input.block(b); },
                 [&](long b, const float* product) {
                   const long rows_end = input.begin(b + 1);
                   for (; row < rows_end; ++row, product += kColumns) {
                     emit(row, column, width, product);
                   }
                 });
  }
}

// Row t of the product goes to out + t * out_stride.
inline void linear_item(const Linear& linear, const Input& input, long item, float* out,
                        long out_stride) {
  linear_item_to(linear, input, item,
                 [&](long row, long column, long width, const float* values) {
                   std::memcpy(out + row * out_stride + column, values, size_t(width) * 4);
                 });
}

}  // namespace perfuse
