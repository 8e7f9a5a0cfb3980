// Attention as Python calls it: arguments checked here, so that the inner code need not.
#include "../native/functions.h"
#include "../native/panels.h"
#include "../native/pool.h"
#include "../paged/arguments.h"
#include "attention.h"

namespace perfuse {
namespace {

constexpr long kCountMax = long{1} << 31;

void create(const Argument* a, Result& result) {
  const Kind kind = kind_named(a[0]);
  const char* const names[] = {"num_blocks", "block_size", "num_layers", "num_kv_heads",
                               "head_dim"};
  long sizes[5];
  for (int i = 0; i < 5; ++i) sizes[i] = integer(a[i + 1], names[i], 1, kCountMax);
  result.give(new KvCache(kind, sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]));
}

KvCache& cache_of(const Argument& argument) { return owned<KvCache>(argument, "kv cache"); }

void write(const Argument* a, Result&) {
  const KvCache& cache = cache_of(a[0]);
  const long layer = integer(a[1], "layer", 0, cache.num_layers - 1);
  const Slots slots = slots_of(a + 2, cache);
  const TokenRows k = rows_of(a[4], "k_THD", {slots.count, cache.num_kv_heads, cache.head_dim});
  const TokenRows v = rows_of(a[5], "v_THD", {slots.count, cache.num_kv_heads, cache.head_dim});
  auto body = [&](int, long item) {
    write_rows(cache, layer, slots.blocks(), slots.offsets(), k.data, k.stride, v.data, v.stride,
               item * kWriteRows, slots.end_of(item));
  };
  const long items[] = {slots.num_items()};
  const size_t bytes = size_t(slots.count * cache.num_kv_heads * cache.head_dim) * 8;
  if (slots.count > 0) run_phases(1, items, bytes, body);
}

void read(const Argument* a, Result&) {
  const KvCache& cache = cache_of(a[0]);
  const long layer = integer(a[1], "layer", 0, cache.num_layers - 1);
  const long block = integer(a[2], "block", 0, cache.num_blocks - 1);
  float* k = floats_out(a[3], "k", {cache.block_size, cache.num_kv_heads, cache.head_dim});
  float* v = floats_out(a[4], "v", {cache.block_size, cache.num_kv_heads, cache.head_dim});
  for (long offset = 0; offset < cache.block_size; ++offset) {
    for (long head = 0; head < cache.num_kv_heads; ++head) {
      const long at = (offset * cache.num_kv_heads + head) * cache.head_dim;
      read_slot(cache, layer, block, offset, head, k + at, v + at);
    }
  }
}

void make_plan(const Argument* a, Result& result) {
  const KvCache& cache = cache_of(a[0]);
  const long num_heads = integer(a[1], "num_heads", 1, kCountMax);
  const Sequences all = sequences_of(a + 2);
  const long window = integer(a[8], "window", 0, int64_t{1} << 40);
  result.give(new AttentionPlan(cache, num_heads, all, window));
}

void forward(const Argument* a, Result&) {
  const KvCache& cache = cache_of(a[0]);
  const AttentionPlan& plan = owned<AttentionPlan>(a[1], "attention plan");
  if (plan.num_kv_heads != cache.num_kv_heads || plan.head_dim != cache.head_dim ||
      plan.block_size != cache.block_size || plan.num_blocks > cache.num_blocks) {
    refuse("the plan was made for a cache of another shape");
  }
  const long layer = integer(a[2], "layer", 0, cache.num_layers - 1);
  const TokenRows q = rows_of(a[3], "q_TND", {plan.num_rows, plan.num_heads, cache.head_dim});
  float* out = floats_out(a[4], "out_TND", {plan.num_rows, plan.num_heads, cache.head_dim});
  float* lse = optional_out(a[5], "lse_TN", {plan.num_rows, plan.num_heads});
  const float scale = scale_of(a[6]);
  if (plan.num_rows == 0) return;
  float* partials = nullptr;
  if (plan.num_partials > 0) {
    partials = Scratch::begin(plan.partial_bytes()).take<float>(size_t(plan.num_partials));
  }
  const long out_stride = plan.num_heads * cache.head_dim;
  const AttentionCall call{q.data, q.stride, out, out_stride, lse, scale, partials};
  auto body = [&](int phase, long item) {
    if (phase == 0) return attend_item(cache, layer, plan, item, call);
    merge_item(plan, item, call);
  };
  const long items[] = {plan.num_items(), plan.num_merges()};
  run_phases(items[1] > 0 ? 2 : 1, items, plan.kv_bytes, body);
}

}  // namespace

Functions attention_functions() {
  return {{"attention_create", create, 6, false},
          {"attention_write", write, 6, false},
          {"attention_read", read, 5, false},
          {"attention_plan", make_plan, 9, false},
          {"attention_forward", forward, 7, false}};
}

}  // namespace perfuse
