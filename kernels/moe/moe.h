// A layer's routed experts, as phases of a region: gate, up, SwiGLU, down and the weighted sum.
//
//   char* room = ...;                       // moe_room_bytes(moe, tokens_max, top), once
//   together(bytes, [&](Team& team) { run_moe(team, moe, room, call); });
//
// Each active expert's weights are read from memory once, whatever the batch.
#pragma once
#include <vector>

#include "../native/arguments.h"
#include "../native/memory.h"
#include "../native/panels.h"
#include "../native/pool.h"

namespace perfuse {

// The packed weights. A panel of gate and up holds 16 columns of gate, then the same 16 of up.
class Moe : public Owned {
 public:
  Moe(Kind kind, long experts, long hidden, long inner)
      : kind(kind), experts(experts), hidden(hidden), inner(inner),
        up_panels((inner + kLanes - 1) / kLanes), down_panels((hidden + kColumns - 1) / kColumns),
        up_stride(panel_bytes(kind, hidden)), down_stride(panel_bytes(kind, inner)),
        expert_bytes(size_t(up_panels) * up_stride + size_t(down_panels) * down_stride),
        memory(size_t(experts) * expert_bytes), filled(size_t(experts)) {}
  const char* what() const override { return "moe"; }
  const char* up(long expert) const { return memory.data() + size_t(expert) * expert_bytes; }
  const char* down(long expert) const { return up(expert) + size_t(up_panels) * up_stride; }

  const Kind kind;
  const long experts, hidden, inner, up_panels, down_panels;
  const size_t up_stride, down_stride, expert_bytes;
  const Memory memory;
  std::vector<char> filled;  // by expert: has weights; without, its output is zero
};

// One layer's tokens. An id that names no expert here, -1 among them, adds nothing; its weight is
// not looked at. A shared expert is one more id, with a weight of its own, that all tokens name.
struct MoeCall {
  long tokens, top;           // T, K
  const float* hidden_TH;
  long hidden_stride;         // floats from token to token
  const int32_t* experts_TK;
  const float* weights_TK;
  const int32_t* slots;       // by id, the expert, or -1; nullptr: ids are experts
  long num_ids;               // entries of slots, or the number of experts
  void* sums_TH;              // float; double, on the grid of 2^-32, where the kind is F32
};

// What a layer computes on the way, for at most this many tokens and experts a token. The room is
// aligned to 64 bytes and holds nothing from one layer to the next.
size_t moe_room_bytes(const Moe& moe, long tokens, long top);

// Several phases; all threads of the team call it with the same arguments. Overwrites the sums. No
// expert may be named that does not exist: `slots` are below moe.experts.
void run_moe(Team& team, const Moe& moe, char* room, const MoeCall& call);

}  // namespace perfuse
