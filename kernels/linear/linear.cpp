// Dense linear layers for Python: packing, and one layer, or one of each head, in a region of its
// own.
#include "linear.h"

#include <memory>

#include "../native/functions.h"
#include "../native/pool.h"

namespace perfuse {
namespace {

constexpr long kSizeMax = long{1} << 24;
constexpr long kChannelsMax = 65536;  // int32 sums of int8 products stay exact

// A small layer for each head of attention: head h's panels follow those of head h - 1.
class Heads : public Owned {
 public:
  Heads(Kind kind, long heads, long outputs, long channels)
      : kind(kind), heads(heads), outputs(outputs), channels(channels),
        panels((outputs + kColumns - 1) / kColumns), stride(panel_bytes(kind, channels)),
        memory(size_t(heads * panels) * stride) {}
  const char* what() const override { return "linear heads"; }
  char* at(long head, long panel) const {
    return memory.data() + size_t(head * panels + panel) * stride;
  }

  const Kind kind;
  const long heads, outputs, channels, panels;  // of a head
  const size_t stride;
  const Memory memory;
};

const Array& weight_of(const Argument& argument) {
  const Array& weight = array(argument, "weight_NK", 2, {"float32", "uint16"});
  if (weight.shape[0] < 1 || weight.shape[1] < 1 || weight.shape[0] > kSizeMax ||
      weight.shape[1] > kChannelsMax) {
    refuse("weight_NK has shape " + shown_shape(weight) + "; it must have from 1 to " +
           std::to_string(kSizeMax) + " rows of 1 to " + std::to_string(kChannelsMax));
  }
  return weight;
}

// `outputs` rows from `first` on, in panels from `to` on.
void pack_rows(Kind kind, const Rows& rows, long first, long outputs, long channels, size_t stride,
               char* to) {
  std::vector<float> room(size_t(kColumns * channels));
  for (long begin = 0; begin < outputs; begin += kColumns, to += stride) {
    const float* columns[kColumns] = {};
    for (int c = 0; c < kColumns && begin + c < outputs; ++c) {
      float* row = room.data() + c * channels;
      rows.read(first + begin + c, row);
      columns[c] = row;
    }
    pack_panel(kind, columns, channels, to);
  }
}

void pack(const Argument* a, Result& result) {
  const Kind kind = kind_named(a[1]);
  const Array& weight = weight_of(a[0]);
  const Rows rows(a[0], "weight_NK", weight.shape[0], weight.shape[1]);
  auto linear = std::make_unique<Linear>(kind, weight.shape[0], weight.shape[1]);
  pack_rows(kind, rows, 0, linear->outputs, linear->channels, linear->stride,
            linear->memory.data());
  result.give(linear.release());
}

void pack_heads(const Argument* a, Result& result) {
  const Kind kind = kind_named(a[1]);
  const Array& weight = weight_of(a[0]);
  const long count = integer(a[2], "heads", 1, kSizeMax);
  if (weight.shape[0] % count) {
    refuse("weight_NK has shape " + shown_shape(weight) + "; " + std::to_string(count) +
           " heads must have as many rows each");
  }
  const Rows rows(a[0], "weight_NK", weight.shape[0], weight.shape[1]);
  auto heads = std::make_unique<Heads>(kind, count, weight.shape[0] / count, weight.shape[1]);
  for (long head = 0; head < count; ++head) {
    pack_rows(kind, rows, head * heads->outputs, heads->outputs, heads->channels, heads->stride,
              heads->at(head, 0));
  }
  result.give(heads.release());
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

// A head's rows lie at any stride; within one there are no gaps.
void expect_rows(const Array& a, const char* name) {
  const bool aligned = reinterpret_cast<uintptr_t>(a.data) % 4 == 0 && a.strides[0] % 4 == 0 &&
                       a.strides[1] % 4 == 0;
  if (a.count() && !(aligned && a.rows_are_whole(4))) {
    refuse(std::string(name) + " must be aligned, without gaps in the last dimension");
  }
}

void forward_heads(const Argument* a, Result&) {
  const Heads& heads = owned<Heads>(a[0], "linear heads");
  const Array& x = array(a[1], "x_THK", 3, {"float32"});
  const Array& out = array(a[2], "out_THN", 3, {"float32"});
  if (!out.writable) refuse("out_THN is read-only; it is written");
  const long rows = x.shape[0];
  expect(x, "x_THK", 1, heads.heads);
  expect(x, "x_THK", 2, heads.channels);
  expect(out, "out_THN", 0, rows);
  expect(out, "out_THN", 1, heads.heads);
  expect(out, "out_THN", 2, heads.outputs);
  expect_rows(x, "x_THK");
  expect_rows(out, "out_THN");
  if (rows == 0) return;

  const size_t bytes = Input::bytes(heads.kind, heads.channels, rows);
  const size_t all = bytes * size_t(heads.heads);
  char* const room = Scratch::begin(all).take<char>(all);
  const auto input_of = [&](long head) {
    return Input(heads.kind, heads.channels, rows, room + size_t(head) * bytes);
  };
  const long pieces = input_of(0).num_items();
  const long an_item = long(std::max(size_t{1}, kLinearItemBytes / heads.stride));
  const long items = (heads.panels + an_item - 1) / an_item;
  together(heads.memory.bytes(), [&](Team& team) {
    const Multiplying multiplying;
    team.each(heads.heads * pieces, [&](long item) {
      const long head = item / pieces;
      input_of(head).prepare(item % pieces,
                             reinterpret_cast<const float*>(x.data + head * x.strides[1]),
                             x.strides[0] / 4);
    });
    team.each(heads.heads * items, [&](long item) {
      const long head = item / items, first = item % items * an_item;
      const Input input = input_of(head);
      for (long panel = first; panel < std::min(first + an_item, heads.panels); ++panel) {
        const char* data = heads.at(head, panel);
        const long column = panel * kColumns;
        const size_t width = size_t(std::min(long{kColumns}, heads.outputs - column)) * 4;
        char* to = out.data + head * out.strides[1] + column * 4;
        times_blocks(kernels(), heads.kind, data, heads.stride, data + heads.stride,
                     input.blocks.units, kGroupUnits, input.num_blocks,
                     [&](long b) { return input.block(b); },
                     [&](long b, const float* product) {
                       for (long row = input.begin(b); row < input.begin(b + 1); ++row) {
                         std::memcpy(to + row * out.strides[0], product, width);
                         product += kColumns;
                       }
                     });
      }
    });
  });
}

void weight_bytes(const Argument* a, Result& result) {
  result.set(int64_t(owned<Linear>(a[0], "linear").memory.bytes()));
}

}  // namespace

Functions linear_functions() {
  return {{"linear_pack", pack, 2, false},
          {"linear_forward", forward, 3, false},
          {"linear_pack_heads", pack_heads, 3, false},
          {"linear_forward_heads", forward_heads, 3, false},
          {"linear_bytes", weight_bytes, 1, true}};
}

}  // namespace perfuse
