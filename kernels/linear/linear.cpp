// Dense linear layers at few rows: weights are read once, whatever the number of rows.
#include <algorithm>
#include <memory>

#include "../native/functions.h"
#include "../native/pool.h"
#include "../native/walk.h"

namespace perfuse {
namespace {

// Below this an item is mostly the cost of taking it.
constexpr size_t kItemBytes = size_t{32} << 10;
constexpr long kSizeMax = long{1} << 24;
constexpr long kChannelsMax = 65536;  // int32 sums of int8 products stay exact

class Linear : public Owned {
 public:
  Linear(Kind kind_, long outputs_, long channels_)
      : kind(kind_), outputs(outputs_), channels(channels_),
        panels((outputs_ + kColumns - 1) / kColumns), stride(panel_bytes(kind_, channels_)),
        memory(size_t(panels) * stride) {}
  const char* what() const override { return "linear"; }

  const Kind kind;
  const long outputs, channels, panels;
  const size_t stride;
  const Memory memory;
};

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

  const Table& table = kernels();
  const long most = table.rows_max[linear.kind], count = num_blocks(rows, most);
  Scratch& scratch = Scratch::begin(
      Activations::bytes(linear.kind, rows, linear.channels) +
      size_t(count) * (sizeof(Block) + 64) + Scratch::round_up(size_t(linear.channels) * 4) +
      Activations::block_bytes(linear.kind, rows, linear.channels) + size_t(count) * 192 +
      Scratch::round_up(size_t(rows) * 4));
  const Activations activations = Activations::in(scratch, linear.kind, rows, linear.channels);
  float* row = scratch.take<float>(size_t(linear.channels));
  int32_t* index = scratch.take<int32_t>(size_t(rows));
  Block* blocks = scratch.take<Block>(size_t(count));
  for (long t = 0; t < rows; ++t) {
    read_floats(x, t, linear.channels, row);
    activations.convert(row, t);
    index[t] = int32_t(t);
  }
  for (long b = 0; b < count; ++b) {
    const long begin = rows * b / count, size = rows * (b + 1) / count - begin;
    char* room = scratch.take<char>(Activations::block_bytes(linear.kind, size, linear.channels));
    blocks[b] = activations.gather(index + begin, int(size), room);
  }

  const long an_item = long(std::max(size_t{1}, kItemBytes / linear.stride));
  const long items[] = {(linear.panels + an_item - 1) / an_item};
  float* const sums = reinterpret_cast<float*>(out.data);
  auto body = [&](int, long item) {
    const long end = std::min((item + 1) * an_item, linear.panels);
    for (long panel = item * an_item; panel < end; ++panel) {
      const char* data = linear.memory.data() + size_t(panel) * linear.stride;
      const long column = panel * kColumns;
      const long width = std::min(long{kColumns}, linear.outputs - column);
      long t = 0;
      times_blocks(table, linear.kind, data, linear.stride, data + linear.stride,
                   activations.units, activations.group_units, blocks, count,
                   [&](long b, const float* product) {
                     for (int m = 0; m < blocks[b].rows; ++m, ++t) {
                       std::memcpy(sums + t * linear.outputs + column, product + m * kColumns,
                                   size_t(width) * 4);
                     }
                   });
    }
  };
  run_phases(1, items, linear.memory.bytes(), body);
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
