// What Python calls: a decoder is made layer by layer, then a step is one call a layer where the
// experts live elsewhere, and one call in all where they are here.
#include <algorithm>
#include <memory>

#include "../native/functions.h"
#include "decoder.h"

namespace perfuse {
namespace {

constexpr long kWidthMax = 65536, kLayersMax = 4096, kTokensMax = long{1} << 20;

std::vector<float> vector_of(const Argument& argument, const char* name, long count) {
  const Array& a = array(argument, name, 1, {"float32"});
  expect(a, name, 0, count);
  std::vector<float> values(static_cast<size_t>(count));
  for (long i = 0; i < count; ++i) values[size_t(i)] = element<float>(a, i);
  return values;
}

std::vector<float> table_of(const Argument& argument, const char* name, long rows, long columns) {
  const Array& a = array(argument, name, 2, {"float32"});
  expect(a, name, 0, rows);
  expect(a, name, 1, columns);
  std::vector<float> values(static_cast<size_t>(rows * columns));
  for (long r = 0; r < rows; ++r) read_floats(a, r, columns, values.data() + r * columns);
  return values;
}

float number(const Argument& argument, const char* name) {
  if (argument.type != Argument::FLOAT) refuse(std::string(name) + " must be a float");
  return float(argument.number);
}

const Linear& linear_of(const Argument& argument, const char* name, long outputs, long channels) {
  const Linear& linear = owned<Linear>(argument, "linear");
  if (linear.outputs != outputs || linear.channels != channels) {
    refuse(std::string(name) + " is " + std::to_string(linear.outputs) + " x " +
           std::to_string(linear.channels) + "; it must be " + std::to_string(outputs) + " x " +
           std::to_string(channels));
  }
  return linear;
}

void create(const Argument* a, Result& result) {
  auto decoder = std::make_unique<Decoder>();
  decoder->hidden = integer(a[0], "hidden", 1, kWidthMax);
  decoder->num_heads = integer(a[1], "num_heads", 1, kWidthMax);
  decoder->num_kv_heads = integer(a[2], "num_kv_heads", 1, decoder->num_heads);
  decoder->head_dim = integer(a[3], "head_dim", 2, kHeadDimMax);
  decoder->eps = number(a[4], "eps");
  decoder->window = integer(a[5], "window", 0, long{1} << 40);
  Gate& gate = decoder->gate;
  gate.experts = integer(a[6], "num_experts", 1, kGateExpertsMax);
  gate.top_k = integer(a[7], "top_k", 1, gate.experts);
  gate.sigmoid = integer(a[8], "sigmoid", 0, 1) != 0;
  gate.normalise = integer(a[9], "normalise", 0, 1) != 0;
  gate.groups = integer(a[10], "groups", 1, gate.experts);
  gate.groups_kept = integer(a[11], "groups_kept", 1, gate.groups);
  gate.group_best = integer(a[12], "group_best", 1, 2);
  gate.scaling = number(a[13], "scaling");
  if (gate.experts % gate.groups) {
    refuse("groups is " + std::to_string(gate.groups) + "; it must divide " +
           std::to_string(gate.experts) + " experts");
  }
  if (gate.top_k > gate.experts / gate.groups * gate.groups_kept) {
    refuse("top_k is " + std::to_string(gate.top_k) + "; the groups kept have fewer experts");
  }
  const Array& cosines = array(a[14], "cosines", 2, {"float32"});
  decoder->positions = cosines.shape[0];
  decoder->cosines = table_of(a[14], "cosines", decoder->positions, decoder->head_dim / 2);
  decoder->sines = table_of(a[15], "sines", decoder->positions, decoder->head_dim / 2);
  result.give(decoder.release());
}

void add_layer(const Argument* a, Result&) {
  Decoder& decoder = owned<Decoder>(a[0], "decoder");
  const long hidden = decoder.hidden;
  DecoderLayer layer;
  layer.input_norm = vector_of(a[1], "input_norm", hidden);
  layer.q_norm = vector_of(a[2], "q_norm", decoder.head_dim);
  layer.k_norm = vector_of(a[3], "k_norm", decoder.head_dim);
  layer.post_norm = vector_of(a[4], "post_norm", hidden);
  layer.qkv = &linear_of(a[5], "qkv", decoder.qkv_width(), hidden);
  layer.out = &linear_of(a[6], "out", hidden, decoder.query_width());
  layer.gate = &linear_of(a[7], "gate", decoder.gate.experts, hidden);
  if (layer.gate->kind != F32) refuse("the gate's weights must be fp32");
  if (a[8].type != Argument::NONE) {
    layer.correction = vector_of(a[8], "correction", decoder.gate.experts);
  }
  if (a[9].type != Argument::NONE) {
    layer.experts = &owned<Moe>(a[9], "moe");
    if (layer.experts->hidden != hidden || layer.experts->experts != decoder.gate.experts) {
      refuse("the experts are " + std::to_string(layer.experts->experts) + " of width " +
             std::to_string(layer.experts->hidden) + "; the decoder needs " +
             std::to_string(decoder.gate.experts) + " of " + std::to_string(hidden));
    }
  }
  if (!decoder.layers.empty()) {
    const DecoderLayer& before = decoder.layers.front();
    const bool alike = before.qkv->kind == layer.qkv->kind && before.out->kind == layer.out->kind &&
                       !before.experts == !layer.experts &&
                       (!layer.experts || (before.experts->kind == layer.experts->kind &&
                                           before.experts->inner == layer.experts->inner));
    if (!alike) refuse("all layers must have one kind of weights and one width of experts");
  }
  if (long(decoder.layers.size()) == kLayersMax) refuse("there are too many layers");
  decoder.layers.push_back(std::move(layer));
}

void set_head(const Argument* a, Result&) {
  Decoder& decoder = owned<Decoder>(a[0], "decoder");
  const Linear& head = owned<Linear>(a[2], "linear");
  std::vector<float> norm = vector_of(a[1], "norm", decoder.hidden);
  decoder.head = &linear_of(a[2], "head", head.outputs, decoder.hidden);
  decoder.norm = std::move(norm);
}

// starts, counts [S], block_offsets [S + 1], block ids: as AttentionPlan takes them.
template <class T>
std::vector<T> whole_numbers(const Argument& argument, const char* name, long count) {
  const Array& a = array(argument, name, 1, {"int32", "int64"});
  if (count >= 0) expect(a, name, 0, count);
  std::vector<T> values(static_cast<size_t>(a.shape[0]));
  for (long i = 0; i < a.shape[0]; ++i) {
    const int64_t value = whole_number(a, i);
    values[size_t(i)] = T(value);
    if (values[size_t(i)] != value) {
      refuse(std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(value) +
             "; it must fit " + std::to_string(8 * sizeof(T)) + " bits");
    }
  }
  return values;
}

void plan(const Argument* a, Result& result) {
  const Decoder& decoder = owned<Decoder>(a[0], "decoder");
  const KvCache& cache = owned<KvCache>(a[1], "kv cache");
  const auto starts = whole_numbers<int64_t>(a[2], "starts", -1);
  const long count = long(starts.size());
  const auto counts = whole_numbers<int64_t>(a[3], "counts", count);
  const auto offsets = whole_numbers<int64_t>(a[4], "block_offsets", count + 1);
  const auto blocks = whole_numbers<int32_t>(a[5], "blocks", -1);
  std::vector<int64_t> first(starts.size()), end(starts.size());
  int64_t tokens = 0;
  for (size_t s = 0; s < starts.size(); ++s) {
    const bool fits = starts[s] >= 0 && counts[s] >= 1 && counts[s] <= kTokensMax &&
                      starts[s] < (int64_t{1} << 40) && offsets[s] >= 0 &&
                      offsets[s] <= offsets[s + 1] && offsets[s + 1] <= int64_t(blocks.size());
    if (!fits) {
      refuse("sequence " + std::to_string(s) + " starts at " + std::to_string(starts[s]) +
             " with " + std::to_string(counts[s]) +
             " new tokens: it needs a start from 0 on, at least one token, and blocks in order");
    }
    end[s] = starts[s] + counts[s];
    tokens += counts[s];
    if ((offsets[s + 1] - offsets[s]) * cache.block_size < end[s]) {
      refuse("sequence " + std::to_string(s) + " has " +
             std::to_string(offsets[s + 1] - offsets[s]) + " blocks of " +
             std::to_string(cache.block_size) + " tokens; it needs room for " +
             std::to_string(end[s]));
    }
  }
  if (tokens > kTokensMax) {
    refuse("the step has " + std::to_string(tokens) + " tokens; it must have at most " +
           std::to_string(kTokensMax));
  }
  Sequences sequences;
  sequences.count = count;
  sequences.starts = starts.data();
  sequences.counts = counts.data();
  sequences.first_keys = first.data();
  sequences.end_keys = end.data();
  sequences.block_offsets = offsets.data();
  sequences.blocks = blocks.data();
  result.give(new StepPlan(decoder, cache, sequences));
}

// The handles of a step, checked to belong together.
struct Step {
  Step(const Argument* a)
      : decoder(owned<Decoder>(a[0], "decoder")), cache(owned<KvCache>(a[1], "kv cache")),
        plan(owned<StepPlan>(a[2], "step plan")),
        x(output(a[3], "x_TH", 2, "float32", 4)), values(reinterpret_cast<float*>(x.data)) {
    expect(x, "x_TH", 0, plan.tokens());
    expect(x, "x_TH", 1, decoder.hidden);
    const AttentionPlan& made = plan.attention;
    if (made.block_size != cache.block_size || made.num_kv_heads != cache.num_kv_heads ||
        made.head_dim != cache.head_dim || cache.num_kv_heads != decoder.num_kv_heads ||
        made.num_heads != decoder.num_heads || made.window != decoder.window ||
        cache.num_layers < long(decoder.layers.size())) {
      refuse("decoder, KV cache and plan do not belong together");
    }
    if (made.num_blocks > cache.num_blocks) {
      refuse("the plan was made for a KV cache of " + std::to_string(made.num_blocks) +
             " blocks; this one has " + std::to_string(cache.num_blocks));
    }
    if (plan.context > decoder.positions) {
      refuse("the plan was made for a context of " + std::to_string(plan.context) +
             " tokens; the decoder's is " + std::to_string(decoder.positions));
    }
  }
  const Decoder& decoder;
  const KvCache& cache;
  const StepPlan& plan;
  const Array& x;
  float* values;
};

void attend_layer(const Argument* a, Result&) {
  const Step step(a);
  const Decoder& decoder = step.decoder;
  const long layer = integer(a[4], "layer", 0, long(decoder.layers.size()) - 1);
  const Array& hidden = output(a[5], "hidden_TH", 2, "float32", 4);
  const Array& ids = output(a[6], "experts_TK", 2, "int32", 4);
  const Array& weights = output(a[7], "weights_TK", 2, "float32", 4);
  const long tokens = step.plan.tokens();
  expect(hidden, "hidden_TH", 0, tokens);
  expect(hidden, "hidden_TH", 1, decoder.hidden);
  for (const Array* array : {&ids, &weights}) {
    expect(*array, array == &ids ? "experts_TK" : "weights_TK", 0, tokens);
    expect(*array, array == &ids ? "experts_TK" : "weights_TK", 1, decoder.gate.top_k);
  }
  if (tokens == 0) return;
  Scratch& scratch = Scratch::begin(StepRoom::bytes(decoder, step.plan));
  const StepRoom room(decoder, step.plan, scratch);
  together(attend_bytes(decoder, layer, step.plan), [&](Team& team) {
    const Multiplying multiplying;
    attend(team, decoder, step.cache, layer, step.plan, room, step.values,
           reinterpret_cast<float*>(hidden.data), reinterpret_cast<int32_t*>(ids.data),
           reinterpret_cast<float*>(weights.data));
  });
}

void forward(const Argument* a, Result&) {
  const Step step(a);
  const Decoder& decoder = step.decoder;
  if (decoder.layers.empty() || !decoder.layers.front().experts) {
    refuse("the decoder's experts live elsewhere: take it layer by layer");
  }
  for (const DecoderLayer& layer : decoder.layers) {
    const std::vector<char>& filled = layer.experts->filled;
    const auto missing = std::find(filled.begin(), filled.end(), 0);
    if (missing != filled.end()) {
      refuse("expert " + std::to_string(missing - filled.begin()) + " of layer " +
             std::to_string(&layer - decoder.layers.data()) + " has no weights yet");
    }
  }
  if (step.plan.tokens() == 0) return;
  Scratch& scratch = Scratch::begin(StepRoom::bytes(decoder, step.plan));
  const StepRoom room(decoder, step.plan, scratch);
  const long layers = long(decoder.layers.size());
  const size_t expert_bytes =
      decoder.layers.front().experts->expert_bytes * size_t(decoder.gate.top_k);
  together(size_t(layers) * (attend_bytes(decoder, 0, step.plan) + expert_bytes),
           [&](Team& team) {
             const Multiplying multiplying;
             for (long layer = 0; layer < layers; ++layer) {
               attend(team, decoder, step.cache, layer, step.plan, room, step.values, room.hidden,
                      room.ids, room.weights);
               feed_forward(team, decoder, layer, step.plan, room, step.values);
             }
           });
}

void logits(const Argument* a, Result&) {
  const Decoder& decoder = owned<Decoder>(a[0], "decoder");
  if (!decoder.head) refuse("the decoder has no head");
  const Linear& head = *decoder.head;
  const Array& x = array(a[1], "x_TH", 2, {"float32"});
  const Array& wanted = array(a[2], "rows_R", 1, {"int32", "int64"});
  const Array& out = output(a[3], "out_RV", 2, "float32", 4);
  const long rows = wanted.shape[0], hidden = decoder.hidden;
  expect(x, "x_TH", 1, hidden);
  expect(out, "out_RV", 0, rows);
  expect(out, "out_RV", 1, head.outputs);
  for (long r = 0; r < rows; ++r) {
    const int64_t row = whole_number(wanted, r);
    if (row < 0 || row >= x.shape[0]) {
      refuse("rows_R names row " + std::to_string(row) + "; there are " +
             std::to_string(x.shape[0]));
    }
  }
  if (rows == 0) return;
  Scratch& scratch = Scratch::begin(Input::bytes(head.kind, hidden, rows) +
                                    Scratch::round_up(size_t(rows * hidden) * 4) + 64);
  float* normed = scratch.take<float>(size_t(rows * hidden));
  char* room = scratch.take<char>(Input::bytes(head.kind, hidden, rows));
  float* const values = reinterpret_cast<float*>(out.data);
  together(head.memory.bytes(), [&](Team& team) {
    const Multiplying multiplying;
    const Input input(head.kind, hidden, rows, room);
    team.each(rows, [&](long r) {
      float* row = normed + r * hidden;
      read_floats(x, long(whole_number(wanted, r)), hidden, row);
      kernels().rms_norm(row, decoder.norm.data(), decoder.eps, hidden, row);
    });
    team.each(input.num_items(), [&](long i) { input.prepare(i, normed, hidden); });
    team.each(linear_items(head),
              [&](long i) { linear_item(head, input, i, values, head.outputs); });
  });
}

}  // namespace

Functions decoder_functions() {
  return {{"decoder_create", create, 16, false},  {"decoder_add_layer", add_layer, 10, false},
          {"decoder_set_head", set_head, 3, false}, {"decoder_plan", plan, 6, false},
          {"decoder_attend", attend_layer, 8, false}, {"decoder_forward", forward, 4, false},
          {"decoder_logits", logits, 4, false}};
}

}  // namespace perfuse
