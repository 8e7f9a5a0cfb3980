// Latent attention as Python calls it: arguments checked here, so that the inner code need not.
#include <atomic>
#include <new>

#include "../native/functions.h"
#include "../native/panels.h"
#include "../native/pool.h"
#include "../paged/arguments.h"
#include "latent.h"

namespace perfuse {
namespace {

constexpr long kCountMax = long{1} << 31;

void create(const Argument* a, Result& result) {
  const Kind kind = kind_named(a[0]);
  const char* const names[] = {"num_blocks", "block_size", "num_layers", "latent", "rope"};
  long sizes[5];
  for (int i = 0; i < 5; ++i) sizes[i] = integer(a[i + 1], names[i], 1, kCountMax);
  result.give(new LatentCache(kind, sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]));
}

LatentCache& cache_of(const Argument& argument) {
  return owned<LatentCache>(argument, "latent cache");
}

void write(const Argument* a, Result&) {
  const LatentCache& cache = cache_of(a[0]);
  const long layer = integer(a[1], "layer", 0, cache.num_layers - 1);
  const Slots slots = slots_of(a + 2, cache);
  const TokenRows latents = rows_of(a[4], "latent_TL", {slots.count, cache.latent});
  const TokenRows ropes = rows_of(a[5], "rope_TR", {slots.count, cache.rope});
  auto body = [&](int, long item) {
    write_latents(cache, layer, slots.blocks(), slots.offsets(), latents.data, latents.stride,
                  ropes.data, ropes.stride, item * kWriteRows, slots.end_of(item));
  };
  const long items[] = {slots.num_items()};
  const size_t bytes = size_t(slots.count * cache.width()) * 4;
  if (slots.count > 0) run_phases(1, items, bytes, body);
}

void read(const Argument* a, Result&) {
  const LatentCache& cache = cache_of(a[0]);
  const long layer = integer(a[1], "layer", 0, cache.num_layers - 1);
  const long block = integer(a[2], "block", 0, cache.num_blocks - 1);
  float* latent = floats_out(a[3], "latent", {cache.block_size, cache.latent});
  float* rope = floats_out(a[4], "rope", {cache.block_size, cache.rope});
  for (long slot = 0; slot < cache.block_size; ++slot) {
    read_latent(cache, layer, block, slot, latent + slot * cache.latent, rope + slot * cache.rope);
  }
}

void make_plan(const Argument* a, Result& result) {
  const LatentCache& cache = cache_of(a[0]);
  const long num_heads = integer(a[1], "num_heads", 1, kCountMax);
  const Sequences all = sequences_of(a + 2);
  const long window = integer(a[8], "window", 0, int64_t{1} << 40);
  result.give(new LatentPlan(cache, num_heads, all, window));
}

void forward(const Argument* a, Result&) {
  const LatentCache& cache = cache_of(a[0]);
  const LatentPlan& plan = owned<LatentPlan>(a[1], "latent plan");
  if (plan.latent != cache.latent || plan.rope != cache.rope ||
      plan.block_size != cache.block_size || plan.num_blocks > cache.num_blocks) {
    refuse("the plan was made for a cache of another shape");
  }
  const long layer = integer(a[2], "layer", 0, cache.num_layers - 1);
  const TokenRows q = rows_of(a[3], "q_THD", {plan.num_rows, plan.num_heads, cache.width()});
  LatentCall call{};
  call.q = q.data;
  call.q_stride = q.stride;
  call.out = floats_out(a[4], "out_THL", {plan.num_rows, plan.num_heads, cache.latent});
  call.out_stride = plan.num_heads * cache.latent;
  call.lse = optional_out(a[5], "lse_TH", {plan.num_rows, plan.num_heads});
  call.scale = scale_of(a[6]);
  if (plan.num_rows == 0) return;
  if (plan.num_partials > 0) {
    call.partials = Scratch::begin(plan.partial_bytes()).take<float>(size_t(plan.num_partials));
  }
  // An item must not throw: that a thread has no memory is kept for the end.
  std::atomic<bool> no_memory{false};
  auto body = [&](int phase, long item) {
    if (phase == 1) return merge_latents(plan, item, call);
    try {
      attend_latents(cache, layer, plan, item, call);
    } catch (const std::bad_alloc&) {
      no_memory = true;
    }
  };
  const long items[] = {plan.num_items(), plan.num_merges()};
  // Mostly computes: an operation takes as long as reading a fifth of a byte, or longer.
  const size_t bytes = plan.kv_bytes + size_t(plan.operations / 8);
  run_phases(items[1] > 0 ? 2 : 1, items, bytes, body);
  if (no_memory) throw std::bad_alloc();
}

}  // namespace

Functions mla_functions() {
  return {{"mla_create", create, 6, false},
          {"mla_write", write, 6, false},
          {"mla_read", read, 5, false},
          {"mla_plan", make_plan, 9, false},
          {"mla_forward", forward, 7, false}};
}

}  // namespace perfuse
