// A layer's routed experts: gate, up and SwiGLU in one region, down and the weighted sum in
// another.
//
//   region 1   items are (expert, slice of inner width): products of both halves, activation in
// place,              converted at once into the blocks that region 2 reads
//   region 2   items are 32 columns of the output, for all active experts one after another:
// nobody else              adds to these columns, and each sum has one order, by expert
//
// Each active expert's weights are read from memory once, whatever the batch.
#include <algorithm>
#include <memory>

#include "../native/functions.h"
#include "../native/pool.h"
#include "../native/walk.h"

namespace perfuse {
namespace {

constexpr long kChannelsMax = 65536;
constexpr long kExpertsMax = 65536;
constexpr long kTokensMax = long{1} << 20;

class Moe : public Owned {
 public:
  Moe(Kind kind_, long experts_, long hidden_, long inner_)
      : kind(kind_), experts(experts_), hidden(hidden_), inner(inner_),
        up_panels((inner_ + kLanes - 1) / kLanes), down_panels((hidden_ + kColumns - 1) / kColumns),
        up_stride(panel_bytes(kind_, hidden_)), down_stride(panel_bytes(kind_, inner_)),
        expert_bytes(size_t(up_panels) * up_stride + size_t(down_panels) * down_stride),
        memory(size_t(experts_) * expert_bytes), filled(size_t(experts_)) {}
  const char* what() const override { return "moe"; }
  const char* up(long expert) const { return memory.data() + size_t(expert) * expert_bytes; }
  const char* down(long expert) const { return up(expert) + size_t(up_panels) * up_stride; }

  const Kind kind;
  const long experts, hidden, inner, up_panels, down_panels;
  const size_t up_stride, down_stride, expert_bytes;
  const Memory memory;
  std::vector<char> filled;
};

void create(const Argument* a, Result& result) {
  const Kind kind = kind_named(a[0]);
  const long experts = integer(a[1], "num_experts", 1, kExpertsMax);
  const long hidden = integer(a[2], "hidden", 1, kChannelsMax);
  const long inner = integer(a[3], "inner", 1, kChannelsMax);
  result.give(new Moe(kind, experts, hidden, inner));
}

// A panel of the first region holds 16 columns of gate, then the same 16 of up.
void set_expert(const Argument* a, Result&) {
  Moe& moe = owned<Moe>(a[0], "moe");
  const long expert = integer(a[1], "expert", 0, moe.experts - 1);
  const Rows gate(a[2], "gate_IH", moe.inner, moe.hidden), up(a[3], "up_IH", moe.inner, moe.hidden);
  const Rows down(a[4], "down_HI", moe.hidden, moe.inner);
  std::vector<float> room(size_t(kColumns * std::max(moe.hidden, moe.inner)));
  char* data = const_cast<char*>(moe.up(expert));
  for (long panel = 0; panel < moe.up_panels; ++panel, data += moe.up_stride) {
    const float* columns[kColumns] = {};
    for (int c = 0; c < kLanes && panel * kLanes + c < moe.inner; ++c) {
      for (int half = 0; half < 2; ++half) {
        float* row = room.data() + (half * kLanes + c) * moe.hidden;
        (half ? up : gate).read(panel * kLanes + c, row);
        columns[half * kLanes + c] = row;
      }
    }
    pack_panel(moe.kind, columns, moe.hidden, data);
  }
  for (long panel = 0; panel < moe.down_panels; ++panel, data += moe.down_stride) {
    const float* columns[kColumns] = {};
    for (int c = 0; c < kColumns && panel * kColumns + c < moe.hidden; ++c) {
      float* row = room.data() + c * moe.inner;
      down.read(panel * kColumns + c, row);
      columns[c] = row;
    }
    pack_panel(moe.kind, columns, moe.inner, data);
  }
  moe.filled[size_t(expert)] = 1;
}

// Who goes where: pairs (token, weight) sorted by expert, each expert's in blocks.
struct Active {
  long expert, first_pair, num_pairs, first_block, num_blocks;
};

struct Route {
  int32_t* tokens;    // [pair]
  float* weights;     // [pair]
  Active* active;     // [active expert], ascending
  long num_pairs, num_active, num_blocks;
};

// Ids that name no expert here, -1 among them, add nothing; their weights are not looked at.
Route sort_pairs(const Moe& moe, const Array& experts, const Array& weights, const Array* slots,
                 Scratch& scratch, long rows_max) {
  const long tokens = experts.shape[0], top = experts.shape[1];
  long* counts = scratch.take<long>(size_t(moe.experts) + 1);
  std::fill_n(counts, moe.experts + 1, 0L);
  int32_t* slot_of = scratch.take<int32_t>(size_t(tokens * top));
  const long known = slots ? slots->shape[0] : moe.experts;
  for (long t = 0; t < tokens; ++t) {
    for (long k = 0; k < top; ++k) {
      int64_t id = whole_number(experts, t, k);
      id = id < 0 || id >= known ? -1 : slots ? int64_t{element<int32_t>(*slots, id)} : id;
      if (id >= moe.experts) refuse("slots name expert " + std::to_string(id) + "; there are " +
                                    std::to_string(moe.experts));
      slot_of[t * top + k] = int32_t(id < 0 ? -1 : id);
      if (id >= 0) ++counts[id];
    }
  }
  Route route{};
  route.tokens = scratch.take<int32_t>(size_t(tokens * top));
  route.weights = scratch.take<float>(size_t(tokens * top));
  route.active = scratch.take<Active>(size_t(std::min(moe.experts, tokens * top)));
  for (long e = 0; e < moe.experts; ++e) {
    const long count = counts[e];
    counts[e] = route.num_pairs;
    if (count == 0) continue;
    if (!moe.filled[size_t(e)]) refuse("expert " + std::to_string(e) + " has no weights yet");
    const long blocks = perfuse::num_blocks(count, rows_max);
    route.active[route.num_active++] = {e, route.num_pairs, count, route.num_blocks, blocks};
    route.num_pairs += count;
    route.num_blocks += blocks;
  }
  for (long t = 0; t < tokens; ++t) {
    for (long k = 0; k < top; ++k) {
      const int32_t slot = slot_of[t * top + k];
      if (slot < 0) continue;
      const long pair = counts[slot]++;
      route.tokens[pair] = int32_t(t);
      route.weights[pair] = element<float>(weights, t, k);
    }
  }
  return route;
}

// Where the activations between the two regions lie: rows of fp32 from several slices of the inner
// width, written straight into a block's interleaved units.
struct Inner {
  Kind kind;
  long channels, units, groups;

  Block block(int rows, char* room) const {
    Block b{};
    b.rows = rows;
    b.units = reinterpret_cast<uint32_t*>(room);
    room += Scratch::round_up(size_t(units * rows) * 4);
    b.scales = reinterpret_cast<float*>(room);
    room += Scratch::round_up(size_t(groups * rows) * 4);
    b.sums = reinterpret_cast<int32_t*>(room);
    return b;
  }

  // values[row * stride + 0 .. size-1] are channels begin .. begin + size - 1; begin is a multiple
  // of 16, and of 128 where scales are made. Writes the padding too where the slice is the last.
  void write(const Table& table, const Block& b, const float* values, long stride, long begin,
             long size) const {
    uint32_t* out = const_cast<uint32_t*>(b.units);
    const long a_unit = kind == F32 ? 1 : kind == BF16 ? 2 : 4;
    const long first = begin / a_unit;
    const long count = begin + size == channels ? units - first : size / a_unit;
    alignas(64) uint32_t row[kGroup + 8];
    for (int m = 0; m < b.rows; ++m, values += stride) {
      const uint32_t* from = row;
      if (kind == F32) {
        std::memcpy(row, values, size_t(size) * 4);
      } else if (kind == BF16) {
        row[count - 1] = 0;
        table.to_bf16(values, size, reinterpret_cast<uint16_t*>(row));
      } else {
        row[count - 1] = 0;
        if (count > 1) row[count - 2] = 0;
        const long group = begin / kGroup * b.rows + m;
        table.to_int8(values, size, kGroup, reinterpret_cast<int8_t*>(row),
                      const_cast<float*>(b.scales) + group, const_cast<int32_t*>(b.sums) + group);
      }
      for (long u = 0; u < count; ++u) out[(first + u) * b.rows + m] = from[u];
    }
  }
};

size_t scratch_bytes(const Moe& moe, long tokens, long top) {
  const size_t pairs = size_t(tokens * top);
  const size_t blocks = pairs;  // no more than one a pair
  return Activations::bytes(moe.kind, tokens, moe.hidden) +
         Activations::block_bytes(moe.kind, long(pairs), moe.hidden) +
         Activations::block_bytes(moe.kind, long(pairs), moe.inner) + blocks * (2 * 192) +
         pairs * 12 + size_t(moe.experts) * (8 + sizeof(Active)) + size_t(moe.hidden) * 4 +
         2 * blocks * sizeof(Block) + 64 * 32;
}

void forward(const Argument* a, Result&) {
  const Moe& moe = owned<Moe>(a[0], "moe");
  const Array& hidden = array(a[1], "hidden_TH", 2, {"float32"});
  const Array& experts = array(a[2], "experts_TK", 2, {"int32", "int64"});
  const Array& weights = array(a[3], "weights_TK", 2, {"float32"});
  const Array* slots = a[4].type == Argument::NONE ? nullptr : &array(a[4], "slots", 1, {"int32"});
  const bool exact = moe.kind == F32;
  const Array& out = output(a[5], "sums_TH", 2, exact ? "float64" : "float32", exact ? 8 : 4);
  const long tokens = hidden.shape[0], top = experts.shape[1];
  expect(hidden, "hidden_TH", 1, moe.hidden);
  expect(experts, "experts_TK", 0, tokens);
  expect(weights, "weights_TK", 0, tokens);
  expect(weights, "weights_TK", 1, top);
  expect(out, "sums_TH", 0, tokens);
  expect(out, "sums_TH", 1, moe.hidden);
  if (tokens > kTokensMax || top > kExpertsMax) {
    refuse("experts_TK has shape " + shown_shape(experts) + "; one call takes at most " +
           std::to_string(kTokensMax) + " tokens of " + std::to_string(kExpertsMax) + " experts");
  }
  std::memset(out.data, 0, size_t(out.count()) * (exact ? 8 : 4));
  if (tokens * top == 0) return;

  const Table& table = kernels();
  Scratch& scratch = Scratch::begin(scratch_bytes(moe, tokens, top));
  const Route route = sort_pairs(moe, experts, weights, slots, scratch, table.rows_max[moe.kind]);
  if (route.num_pairs == 0) return;
  const Activations activations = Activations::in(scratch, moe.kind, tokens, moe.hidden);
  const Inner inner{moe.kind, moe.inner, num_units(moe.kind, moe.inner), num_groups(moe.inner)};
  Block* in_blocks = scratch.take<Block>(size_t(route.num_blocks));
  Block* inner_blocks = scratch.take<Block>(size_t(route.num_blocks));
  float* row = scratch.take<float>(size_t(moe.hidden));
  for (long t = 0; t < tokens; ++t) {
    read_floats(hidden, t, moe.hidden, row);
    activations.convert(row, t);
  }
  for (long i = 0; i < route.num_active; ++i) {
    const Active& e = route.active[i];
    for (long b = 0; b < e.num_blocks; ++b) {
      const long begin = e.num_pairs * b / e.num_blocks;
      const int size = int(e.num_pairs * (b + 1) / e.num_blocks - begin);
      char* room = scratch.take<char>(Activations::block_bytes(moe.kind, size, moe.hidden));
      in_blocks[e.first_block + b] =
          activations.gather(route.tokens + e.first_pair + begin, size, room);
      room = scratch.take<char>(Activations::block_bytes(moe.kind, size, moe.inner));
      inner_blocks[e.first_block + b] = inner.block(size, room);
    }
  }

  // A slice is what shares a scale, or 32 columns where nothing does.
  const long slice = moe.kind == I8 || moe.kind == I4 ? kGroup : 2 * kLanes;
  const long slices = (moe.inner + slice - 1) / slice;
  const auto up_slice = [&](const Active& e, long s, const char* next_expert) {
    const long begin = s * slice, size = std::min(slice, moe.inner - begin);
    const Block* blocks = in_blocks + e.first_block;
    const char* panel = moe.up(e.expert) + size_t(begin / kLanes) * moe.up_stride;
    // Few rows at a time in the buffer: all panels of the slice for one chunk of blocks. One chunk
    // holds what decode ever has, so weights come from memory once; a prefill's later chunks find
    // the slice in the second-level cache.
    constexpr long kChunk = 8;
    alignas(64) float values[kChunk * kRowsMax * kGroup];
    for (long from = 0; from < e.num_blocks; from += kChunk) {
      const long count = std::min(kChunk, e.num_blocks - from);
      for (long column = 0; column < size; column += kLanes) {
        const char* data = panel + size_t(column / kLanes) * moe.up_stride;
        const bool last = begin + column + kLanes >= moe.inner;
        const char* next = from + count < e.num_blocks ? data : last ? next_expert
                                                                     : data + moe.up_stride;
        long done = 0;
        times_blocks(table, moe.kind, data, moe.up_stride, next, activations.units,
                     activations.group_units, blocks + from, count,
                     [&](long b, const float* product) {
                       const int rows = blocks[from + b].rows;
                       table.silu_product(product, rows, values + done * kGroup + column, kGroup);
                       done += rows;
                     });
      }
      long done = 0;
      for (long b = from; b < from + count; ++b) {
        inner.write(table, inner_blocks[e.first_block + b], values + done * kGroup, kGroup, begin,
                    size);
        done += blocks[b].rows;
      }
    }
  };
  const auto down_panel = [&](long panel) {
    const long column = panel * kColumns, width = std::min(long{kColumns}, moe.hidden - column);
    for (long i = 0; i < route.num_active; ++i) {
      const Active& e = route.active[i];
      const char* data = moe.down(e.expert) + size_t(panel) * moe.down_stride;
      const bool last = i + 1 == route.num_active;
      const char* next = moe.down(route.active[last ? 0 : i + 1].expert) +
                         size_t(last ? panel + 1 : panel) * moe.down_stride;
      long pair = e.first_pair;
      times_blocks(table, moe.kind, data, moe.down_stride, next, inner.units, kGroupUnits,
                   inner_blocks + e.first_block, e.num_blocks, [&](long b, const float* product) {
                     const int rows = inner_blocks[e.first_block + b].rows;
                     for (int m = 0; m < rows; ++m, ++pair, product += kColumns) {
                       const long at = long{route.tokens[pair]} * moe.hidden + column;
                       if (exact) {
                         table.add_on_grid(product, route.weights[pair], width,
                                           reinterpret_cast<double*>(out.data) + at);
                       } else {
                         table.add_scaled(product, route.weights[pair], width,
                                          reinterpret_cast<float*>(out.data) + at);
                       }
                     }
                   });
    }
  };
  auto body = [&](int phase, long item) {
    if (phase == 1) return down_panel(item);
    const long i = item / slices;
    const bool last = i + 1 == route.num_active;
    up_slice(route.active[i], item % slices,
             last ? moe.down(route.active[0].expert) : moe.up(route.active[i + 1].expert));
  };
  const long items[] = {route.num_active * slices, moe.down_panels};
  run_phases(2, items, size_t(route.num_active) * moe.expert_bytes, body);
}

void weight_bytes(const Argument* a, Result& result) {
  result.set(int64_t(owned<Moe>(a[0], "moe").expert_bytes));
}

}  // namespace

Functions moe_functions() {
  return {{"moe_create", create, 4, true},
          {"moe_set_expert", set_expert, 5, false},
          {"moe_forward", forward, 6, false},
          {"moe_expert_bytes", weight_bytes, 1, true}};
}

}  // namespace perfuse
