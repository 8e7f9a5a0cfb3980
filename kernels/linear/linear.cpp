// Dense linear layers for Python: packing, and one layer in a region of its own.
#include "linear.h"

#include <memory>

#include "../native/functions.h"
#include "../native/pool.h"

namespace perfuse {
namespace {

constexpr long kSizeMax = long{1} << 24;
constexpr long kChannelsMax = 65536;  // int32 sums of int8 products stay exact

void pack(const Argument* a, Result& result) {
  const Kind kind = kind_named(a[1]);
  const Array& weight = array(a[0], "weight_NK", 2, {"float32", "uint16"});
  if (weight.shape[0] < 1 || weight.shape[1] < 1 || weight.shape[0] > kSizeMax ||
      weight.shape[1] > kChannelsMax) {
    refuse("weight_NK has shape " + shown_shape(weight) + "; it must have from 1 to " +
           std::to_string(kSizeMax) + " rows of 1 to " + std::to_string(kChannelsMax));
  }
  const Rows rows(a[0], "weight_NK", weight.shape[0], weight.shape[1]);
  auto linear = std::make_unique<Linear>(kind, weight.shape[0], weight.shape[1]);
  std::vector<float> room(size_t(kColumns * linear->channels));
  for (long panel = 0; panel < linear->panels; ++panel) {
    const float* columns[kColumns] = {};
    for (int c = 0; c < kColumns && panel * kColumns + c < linear->outputs; ++c) {
      float* row = room.data() + c * linear->channels;
      rows.read(panel * kColumns + c, row);
      columns[c] = row;
    }
    pack_panel(kind, columns, linear->channels,
               linear->memory.data() + size_t(panel) * linear->stride);
  }
  result.give(linear.release());
}

void forward(const Argument* a, Result&) {
  const Linear& linear = owned<Linear>(a[0], "linear");
  const Array& x = array(a[1], "x_TK", 2, {"float32"});
  const Array& out = output(a[2], "out_TN", 2, "float32", 4);
  const long rows = x.shape[0];
  expect(x, "x_TK", 1, linear.channels);
  expect(out, "out_TN", 0, rows);
  expect(out, "out_TN", 1, linear.outputs);
  if (rows == 0) return;

  const size_t input_bytes = Input::bytes(linear.kind, linear.channels, rows);
  Scratch& scratch = Scratch::begin(input_bytes + whole_rows_bytes(x));
  long stride = 0;
  const float* in = whole_rows(x, scratch, stride);
  const Input input(linear.kind, linear.channels, rows, scratch.take<char>(input_bytes));
  float* const sums = reinterpret_cast<float*>(out.data);
  together(linear.memory.bytes(), [&](Team& team) {
    const Multiplying multiplying;
    team.each(input.num_items(), [&](long item) { input.prepare(item, in, stride); });
    team.each(linear_items(linear),
              [&](long item) { linear_item(linear, input, item, sums, linear.outputs); });
  });
}

void weight_bytes(const Argument* a, Result& result) {
  result.set(int64_t(owned<Linear>(a[0], "linear").memory.bytes()));
}

}  // namespace

Functions linear_functions() {
  return {{"linear_pack", pack, 2, false},
          {"linear_forward", forward, 3, false},
          {"linear_bytes", weight_bytes, 1, true}};
}

}  // namespace perfuse
