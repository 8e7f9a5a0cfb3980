// A decoder's layers as phases of one parallel region: everything between the embedding and the
// vocabulary projection, with the experts here or elsewhere.
#pragma once
#include <vector>

#include "../attention/attention.h"
#include "../linear/linear.h"
#include "../moe/moe.h"
#include "../native/pool.h"
#include "gate.h"

namespace perfuse {

// One layer. Weights that others own stay theirs; they outlive the decoder (the Python object that
// holds it holds them too).
struct DecoderLayer {
  std::vector<float> input_norm, post_norm;  // [hidden]
  std::vector<float> q_norm, k_norm;         // [head_dim]; q's carries the scale of the scores
  const Linear* qkv = nullptr;               // query heads, key heads, value heads
  const Linear* out = nullptr;
  const Linear* gate = nullptr;              // fp32 [experts, hidden]
  std::vector<float> correction;             // [experts], or none
  const Moe* experts = nullptr;              // nullptr: they live elsewhere
};

class Decoder : public Owned {
 public:
  const char* what() const override { return "decoder"; }
  long query_width() const { return num_heads * head_dim; }
  long qkv_width() const { return (num_heads + 2 * num_kv_heads) * head_dim; }

  long hidden = 0, num_heads = 0, num_kv_heads = 0, head_dim = 0, window = 0;
  float eps = 0;
  Gate gate;  // but for the correction, which is a layer's
  long positions = 0;
  std::vector<float> cosines, sines;  // [position][head_dim / 2]
  std::vector<DecoderLayer> layers;
  std::vector<float> norm;  // before the head
  const Linear* head = nullptr;
};

// What all layers of a step have in common: where its tokens stand and what they see.
class StepPlan : public Owned {
 public:
  // Throws std::invalid_argument where positions or blocks do not fit decoder and cache.
  StepPlan(const Decoder& decoder, const KvCache& cache, const Sequences& sequences);
  const char* what() const override { return "step plan"; }

  const AttentionPlan attention;
  const long context;                  // positions of the decoder that it was made for
  std::vector<int64_t> positions;      // [T]
  std::vector<int32_t> blocks, slots;  // [T] where each token's KV goes
  long tokens() const { return long(positions.size()); }
};

// A call's room, laid out once.
struct StepRoom {
  static size_t bytes(const Decoder& decoder, const StepPlan& plan);
  StepRoom(const Decoder& decoder, const StepPlan& plan, Scratch& scratch);

  float *normed, *qkv, *mixed, *partials, *logits, *choice;
  char *input, *out_input, *gate_input;
  // For experts that are here, else nullptr.
  float *hidden, *weights, *sums;
  int32_t* ids;
  char* experts;
};

// Norm, projections, RoPE, KV into its blocks, attention, residual, norm and gate of one layer.
// x [T, hidden] is the residual stream, in and out; hidden, ids and weights are what the experts
// are to be given.
void attend(Team& team, const Decoder& decoder, const KvCache& cache, long layer,
            const StepPlan& plan, const StepRoom& room, float* x, float* hidden, int32_t* ids,
            float* weights);

// x += what the experts of `layer` make of room.hidden.
void feed_forward(Team& team, const Decoder& decoder, long layer, const StepPlan& plan,
                  const StepRoom& room, float* x);

// Bytes of weights and KV that a layer's part reads at least: whether threads are worth waking.
size_t attend_bytes(const Decoder& decoder, long layer, const StepPlan& plan);

}  // namespace perfuse
