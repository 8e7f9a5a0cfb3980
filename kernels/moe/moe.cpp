// Routed experts for Python: packing, and one layer in a region of its own.
#include "moe.h"

#include <algorithm>

#include "../native/cpu.h"
#include "../native/functions.h"

namespace perfuse {
namespace {

constexpr long kChannelsMax = 65536;
constexpr long kExpertsMax = 65536;
constexpr long kPairsMax = long{1} << 22;

void create(const Argument* a, Result& result) {
  const Kind kind = kind_named(a[0]);
  const long experts = integer(a[1], "num_experts", 1, kExpertsMax);
  const long hidden = integer(a[2], "hidden", 1, kChannelsMax);
  const long inner = integer(a[3], "inner", 1, kChannelsMax);
  result.give(new Moe(kind, experts, hidden, inner));
}

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

// Ids as int32 without gaps; each that names an expert names one with weights. Returns how many
// bytes of weights the call reads at most.
size_t read_ids(const Moe& moe, const Array& experts, const int32_t* slots, long known,
                int32_t* out) {
  const long tokens = experts.shape[0], top = experts.shape[1];
  for (long t = 0; t < tokens; ++t) {
    for (long k = 0; k < top; ++k) {
      const int64_t id = whole_number(experts, t, k);
      const int32_t here = id < 0 || id >= known ? -1 : int32_t(id);
      *out++ = here;
      const int32_t expert = here < 0 || !slots ? here : slots[here];
      if (expert >= moe.experts) {
        refuse("slots name expert " + std::to_string(expert) + "; there are " +
               std::to_string(moe.experts));
      }
      if (expert >= 0 && !moe.filled[size_t(expert)]) {
        refuse("expert " + std::to_string(expert) + " has no weights yet");
      }
    }
  }
  return size_t(std::min(moe.experts, tokens * top)) * moe.expert_bytes;
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
  if (top > kPairsMax || tokens > kPairsMax / std::max(1L, top)) {
    refuse("experts_TK has shape " + shown_shape(experts) + "; one call takes at most " +
           std::to_string(kPairsMax) + " pairs of token and expert");
  }
  if (slots && (!slots->rows_are_whole(4) || reinterpret_cast<uintptr_t>(slots->data) % 4)) {
    refuse("slots must lie without gaps and aligned");
  }
  if (tokens == 0) return;

  const size_t room_bytes = moe_room_bytes(moe, tokens, top);
  const size_t pairs = size_t(tokens * top);
  Scratch& scratch = Scratch::begin(room_bytes + whole_rows_bytes(hidden) +
                                    2 * Scratch::round_up(pairs * 4));
  MoeCall call{};
  call.tokens = tokens;
  call.top = top;
  call.hidden_TH = whole_rows(hidden, scratch, call.hidden_stride);
  call.slots = slots ? reinterpret_cast<const int32_t*>(slots->data) : nullptr;
  call.num_ids = slots ? slots->shape[0] : moe.experts;
  int32_t* ids = scratch.take<int32_t>(pairs);
  const size_t bytes = read_ids(moe, experts, call.slots, call.num_ids, ids);
  call.experts_TK = ids;
  float* shares = scratch.take<float>(pairs);
  call.weights_TK = shares;
  for (long t = 0; t < tokens; ++t, shares += top) read_floats(weights, t, top, shares);
  call.sums_TH = out.data;
  char* room = scratch.take<char>(room_bytes);
  together(bytes, [&](Team& team) {
    const Multiplying multiplying;
    run_moe(team, moe, room, call);
  });
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
