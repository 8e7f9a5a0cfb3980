#include "decoder.h"

namespace perfuse {
namespace {

// The first layer stands for all: they have one shape, and one kind of weights.
const DecoderLayer& first(const Decoder& decoder) { return decoder.layers.front(); }

size_t floats(long count) { return Scratch::round_up(size_t(count) * sizeof(float)); }

}  // namespace

size_t StepRoom::bytes(const Decoder& decoder, const StepPlan& plan) {
  const long tokens = plan.tokens(), hidden = decoder.hidden, experts = decoder.gate.experts;
  const DecoderLayer& layer = first(decoder);
  size_t total = floats(tokens * hidden) + floats(tokens * decoder.qkv_width()) +
                 floats(tokens * decoder.query_width()) + 2 * floats(tokens * experts) +
                 Scratch::round_up(plan.attention.partial_bytes());
  total += Input::bytes(layer.qkv->kind, hidden, tokens) +
           Input::bytes(layer.out->kind, decoder.query_width(), tokens) +
           Input::bytes(F32, hidden, tokens);
  if (layer.experts) {
    total += 3 * floats(tokens * hidden) + 2 * floats(tokens * decoder.gate.top_k) +
             Scratch::round_up(moe_room_bytes(*layer.experts, tokens, decoder.gate.top_k));
  }
  return total;
}

StepRoom::StepRoom(const Decoder& decoder, const StepPlan& plan, Scratch& scratch) {
  const long tokens = plan.tokens(), hidden = decoder.hidden, experts = decoder.gate.experts;
  const long top = decoder.gate.top_k;
  const DecoderLayer& layer = first(decoder);
  const auto take = [&](long count) { return scratch.take<float>(size_t(count)); };
  normed = take(tokens * hidden);
  qkv = take(tokens * decoder.qkv_width());
  mixed = take(tokens * decoder.query_width());
  logits = take(tokens * experts);
  choice = take(tokens * experts);
  partials = reinterpret_cast<float*>(scratch.take<char>(plan.attention.partial_bytes()));
  input = scratch.take<char>(Input::bytes(layer.qkv->kind, hidden, tokens));
  out_input = scratch.take<char>(Input::bytes(layer.out->kind, decoder.query_width(), tokens));
  gate_input = scratch.take<char>(Input::bytes(F32, hidden, tokens));
  if (!layer.experts) {
    this->hidden = weights = sums = nullptr;
    ids = nullptr;
    this->experts = nullptr;
    return;
  }
  this->hidden = take(tokens * hidden);
  sums = take(2 * tokens * hidden);  // as many as float64 needs
  weights = take(tokens * top);
  ids = scratch.take<int32_t>(size_t(tokens * top));
  this->experts = scratch.take<char>(moe_room_bytes(*layer.experts, tokens, top));
}

}  // namespace perfuse
