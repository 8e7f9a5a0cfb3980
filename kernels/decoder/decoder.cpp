#include "decoder.h"

#include <cstring>

namespace perfuse {
namespace {

// Tokens whose heads one item turns: a few hundred nanoseconds each.
constexpr long kTokensAnItem = 4;

// x += what the experts gave: in float64 where they did, and then rounded once, as where the sums
// of several shards come together.
void add_sums(const Table& table, const Moe& experts, const float* sums, long count, float* x) {
  if (experts.kind != F32) return table.add(sums, count, x);
  const double* exact = reinterpret_cast<const double*>(sums);
  for (long i = 0; i < count; ++i) x[i] = float(double(x[i]) + exact[i]);
}

void turn_heads(const Table& table, const Decoder& decoder, const DecoderLayer& layer,
                int64_t position, float* qkv) {
  const long half = decoder.head_dim / 2;
  const float* cosines = decoder.cosines.data() + position * half;
  const float* sines = decoder.sines.data() + position * half;
  for (long head = 0; head < decoder.num_heads + decoder.num_kv_heads; ++head) {
    const std::vector<float>& norm = head < decoder.num_heads ? layer.q_norm : layer.k_norm;
    table.rms_norm(qkv, norm.data(), decoder.eps, decoder.head_dim, qkv);
    table.rotate(qkv, cosines, sines, half);
    qkv += decoder.head_dim;
  }
}

// Blocks of rows: what is done to the rows of one is done by one item.
template <class F>
void each_block(Team& team, const Input& input, const F& work) {
  team.each(input.num_blocks, [&](long b) {
    work(b, input.begin(b), input.begin(b + 1));
  });
}

void prepare_block(const Input& input, long block, const float* x, long stride) {
  const long pieces = input.num_items() / input.num_blocks;
  for (long piece = 0; piece < pieces; ++piece) input.prepare(block * pieces + piece, x, stride);
}

// Logits of one block of rows, and the choice of each row.
void route_block(const Table& table, const Decoder& decoder, const DecoderLayer& layer,
                 const Input& input, long block, const StepRoom& room, int32_t* ids,
                 float* weights) {
  const Linear& gate = *layer.gate;
  const Block rows = input.block(block);
  const long begin = input.begin(block), experts = decoder.gate.experts;
  for (long panel = 0; panel < gate.panels; ++panel) {
    const char* data = gate.memory.data() + size_t(panel) * gate.stride;
    const long column = panel * kColumns, width = std::min(long{kColumns}, experts - column);
    times_blocks(table, gate.kind, data, gate.stride, data + gate.stride, input.blocks.units,
                 kGroupUnits, 1, [&](long) { return rows; },
                 [&](long, const float* product) {
                   for (int m = 0; m < rows.rows; ++m) {
                     std::memcpy(room.logits + (begin + m) * experts + column,
                                 product + m * kColumns, size_t(width) * 4);
                   }
                 });
  }
  for (long row = begin; row < begin + rows.rows; ++row) {
    const long top = decoder.gate.top_k;
    decoder.gate.choose(table, layer.correction, room.logits + row * experts,
                        room.choice + row * experts, ids + row * top, weights + row * top);
  }
}

}  // namespace

void attend(Team& team, const Decoder& decoder, const KvCache& cache, long index,
            const StepPlan& plan, const StepRoom& room, float* x, float* hidden, int32_t* ids,
            float* weights) {
  const Table& table = kernels();
  const DecoderLayer& layer = decoder.layers[size_t(index)];
  const long tokens = plan.tokens(), width = decoder.hidden, qkv_width = decoder.qkv_width();
  const long query_width = decoder.query_width();

  const Input input(layer.qkv->kind, width, tokens, room.input);
  each_block(team, input, [&](long block, long begin, long end) {
    for (long row = begin; row < end; ++row) {
      table.rms_norm(x + row * width, layer.input_norm.data(), decoder.eps, width,
                     room.normed + row * width);
    }
    prepare_block(input, block, room.normed, width);
  });
  team.each(linear_items(*layer.qkv),
            [&](long i) { linear_item(*layer.qkv, input, i, room.qkv, qkv_width); });
  team.each((tokens + kTokensAnItem - 1) / kTokensAnItem, [&](long i) {
    const long begin = i * kTokensAnItem, end = std::min(tokens, begin + kTokensAnItem);
    for (long row = begin; row < end; ++row) {
      turn_heads(table, decoder, layer, plan.positions[size_t(row)], room.qkv + row * qkv_width);
    }
    const float* keys = room.qkv + query_width;
    write_rows(cache, index, plan.blocks.data(), plan.slots.data(), keys, qkv_width,
               keys + decoder.num_kv_heads * decoder.head_dim, qkv_width, begin, end);
  });

  // The scale of the scores is in the queries' norm.
  const AttentionCall call{room.qkv, qkv_width, room.mixed, query_width, nullptr, 1.0f,
                           room.partials};
  team.each(plan.attention.num_items(),
            [&](long i) { attend_item(cache, index, plan.attention, i, call); });
  if (plan.attention.num_merges()) {
    team.each(plan.attention.num_merges(),
              [&](long i) { merge_item(plan.attention, i, call); });
  }

  const Input mixed(layer.out->kind, query_width, tokens, room.out_input);
  team.each(mixed.num_items(), [&](long i) { mixed.prepare(i, room.mixed, query_width); });
  team.each(linear_items(*layer.out), [&](long i) {
    linear_item_to(*layer.out, mixed, i,
                   [&](long row, long column, long count, const float* values) {
                     table.add(values, count, x + row * width + column);
                   });
  });

  const Input gated(F32, width, tokens, room.gate_input);
  each_block(team, gated, [&](long block, long begin, long end) {
    for (long row = begin; row < end; ++row) {
      table.rms_norm(x + row * width, layer.post_norm.data(), decoder.eps, width,
                     hidden + row * width);
    }
    prepare_block(gated, block, hidden, width);
    route_block(table, decoder, layer, gated, block, room, ids, weights);
  });
}

void feed_forward(Team& team, const Decoder& decoder, long index, const StepPlan& plan,
                  const StepRoom& room, float* x) {
  const Moe& experts = *decoder.layers[size_t(index)].experts;
  const long tokens = plan.tokens(), width = decoder.hidden;
  const long value_floats = experts.kind == F32 ? 2 : 1;
  run_moe(team, experts, room.experts,
          {tokens, decoder.gate.top_k, room.hidden, width, room.ids, room.weights, nullptr,
           experts.experts, room.sums});
  team.each(tokens, [&](long row) {
    add_sums(kernels(), experts, room.sums + row * width * value_floats, width, x + row * width);
  });
}

size_t attend_bytes(const Decoder& decoder, long index, const StepPlan& plan) {
  const DecoderLayer& layer = decoder.layers[size_t(index)];
  return layer.qkv->memory.bytes() + layer.out->memory.bytes() + plan.attention.kv_bytes;
}

}  // namespace perfuse
