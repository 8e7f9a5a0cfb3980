// Latent attention as Python calls it: arguments checked here, so that the inner code need not.
#include <atomic>
#include <cstring>
#include <new>
#include <string>

#include "../native/functions.h"
#include "../native/panels.h"
#include "../native/pool.h"
#include "latent.h"

namespace perfuse {
namespace {

constexpr long kCountMax = long{1} << 31;
constexpr long kWriteRows = 16;  // of an item

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

void block_bytes(const Argument* a, Result& result) {
  result.set(int64_t(cache_of(a[0]).block_bytes));
}

const Array& ids_of(const Argument& argument, const LatentCache& cache) {
  const Array& ids = array(argument, "ids", 1, {"int32", "int64"});
  for (long i = 0; i < ids.shape[0]; ++i) {
    const int64_t id = whole_number(ids, i);
    if (id < 0 || id >= cache.num_blocks) {
      refuse("ids[" + std::to_string(i) + "] is " + std::to_string(id) + "; it must be from 0 to " +
             std::to_string(cache.num_blocks - 1));
    }
  }
  return ids;
}

void read_blocks(const Argument* a, Result&) {
  const LatentCache& cache = cache_of(a[0]);
  const Array& ids = ids_of(a[1], cache);
  const Array& out = output(a[2], "out", 2, "uint8", 1);
  expect(out, "out", 0, ids.shape[0]);
  expect(out, "out", 1, long(cache.block_bytes));
  for (long i = 0; i < ids.shape[0]; ++i) {
    std::memcpy(out.data + size_t(i) * cache.block_bytes, cache.row(whole_number(ids, i), 0, 0),
                cache.block_bytes);
  }
}

void write_blocks(const Argument* a, Result&) {
  const LatentCache& cache = cache_of(a[0]);
  const Array& ids = ids_of(a[1], cache);
  const Array& data = array(a[2], "data", 2, {"uint8"});
  expect(data, "data", 0, ids.shape[0]);
  expect(data, "data", 1, long(cache.block_bytes));
  for (long i = 0; i < ids.shape[0]; ++i) {
    char* to = cache.row(whole_number(ids, i), 0, 0);
    const char* from = data.data + i * data.strides[0];
    if (data.rows_are_whole(1)) {
      std::memcpy(to, from, cache.block_bytes);
    } else {
      for (size_t at = 0; at < cache.block_bytes; ++at) to[at] = from[long(at) * data.strides[1]];
    }
  }
}

// Rows of floats, each without gaps and aligned.
const float* rows_of(const Array& rows, const char* name, long& stride) {
  const bool whole = rows.rows_are_whole(4) &&
                     (rows.ndim < 3 || rows.shape[1] == 1 ||
                      rows.strides[1] == rows.shape[2] * 4) &&
                     (rows.shape[0] <= 1 || rows.strides[0] % 4 == 0);
  if (!whole || reinterpret_cast<uintptr_t>(rows.data) % 4 != 0) {
    refuse(std::string(name) + " must be aligned, without gaps but between tokens");
  }
  stride = rows.strides[0] / 4;
  return reinterpret_cast<const float*>(rows.data);
}

void write(const Argument* a, Result&) {
  const LatentCache& cache = cache_of(a[0]);
  const long layer = integer(a[1], "layer", 0, cache.num_layers - 1);
  const Array& blocks = array(a[2], "blocks_T", 1, {"int32", "int64"});
  const Array& offsets = array(a[3], "offsets_T", 1, {"int32", "int64"});
  const long tokens = blocks.shape[0];
  expect(offsets, "offsets_T", 0, tokens);
  const char* const names[] = {"latent_TL", "rope_TR"};
  const float* rows[2];
  long strides[2];
  for (int i = 0; i < 2; ++i) {
    const Array& given = array(a[4 + i], names[i], 2, {"float32"});
    expect(given, names[i], 0, tokens);
    expect(given, names[i], 1, i ? cache.rope : cache.latent);
    rows[i] = rows_of(given, names[i], strides[i]);
  }
  std::vector<int32_t> slots(size_t(2 * tokens));
  for (long t = 0; t < tokens; ++t) {
    const int64_t block = whole_number(blocks, t), offset = whole_number(offsets, t);
    if (block < 0 || block >= cache.num_blocks || offset < 0 || offset >= cache.block_size) {
      refuse("token " + std::to_string(t) + " goes to block " + std::to_string(block) +
             ", offset " + std::to_string(offset) + "; there are " +
             std::to_string(cache.num_blocks) + " blocks of " + std::to_string(cache.block_size));
    }
    slots[size_t(t)] = int32_t(block);
    slots[size_t(tokens + t)] = int32_t(offset);
  }
  auto body = [&](int, long item) {
    write_latents(cache, layer, slots.data(), slots.data() + tokens, rows[0], strides[0], rows[1],
                  strides[1], item * kWriteRows, std::min(tokens, (item + 1) * kWriteRows));
  };
  const long items[] = {(tokens + kWriteRows - 1) / kWriteRows};
  if (tokens > 0) run_phases(1, items, size_t(tokens * cache.width()) * 4, body);
}

void read(const Argument* a, Result&) {
  const LatentCache& cache = cache_of(a[0]);
  const long layer = integer(a[1], "layer", 0, cache.num_layers - 1);
  const long block = integer(a[2], "block", 0, cache.num_blocks - 1);
  const Array& latent = output(a[3], "latent", 2, "float32", 4);
  const Array& rope = output(a[4], "rope", 2, "float32", 4);
  expect(latent, "latent", 0, cache.block_size);
  expect(latent, "latent", 1, cache.latent);
  expect(rope, "rope", 0, cache.block_size);
  expect(rope, "rope", 1, cache.rope);
  for (long slot = 0; slot < cache.block_size; ++slot) {
    read_latent(cache, layer, block, slot,
                reinterpret_cast<float*>(latent.data) + slot * cache.latent,
                reinterpret_cast<float*>(rope.data) + slot * cache.rope);
  }
}

template <class T>
const T* plain(const Argument& argument, const char* name, const char* dtype, long count) {
  const Array& a = array(argument, name, 1, {dtype});
  if (count >= 0) expect(a, name, 0, count);
  if (!a.rows_are_whole(sizeof(T)) || reinterpret_cast<uintptr_t>(a.data) % sizeof(T) != 0) {
    refuse(std::string(name) + " must be contiguous and aligned");
  }
  return reinterpret_cast<const T*>(a.data);
}

void make_plan(const Argument* a, Result& result) {
  const LatentCache& cache = cache_of(a[0]);
  const long num_heads = integer(a[1], "num_heads", 1, kCountMax);
  Sequences all;
  all.starts = plain<int64_t>(a[2], "starts_S", "int64", -1);
  all.count = a[2].array.shape[0];
  all.counts = plain<int64_t>(a[3], "counts_S", "int64", all.count);
  all.first_keys = plain<int64_t>(a[4], "first_keys_S", "int64", all.count);
  all.end_keys = plain<int64_t>(a[5], "end_keys_S", "int64", all.count);
  all.block_offsets = plain<int64_t>(a[6], "block_offsets", "int64", all.count + 1);
  all.blocks = plain<int32_t>(a[7], "blocks", "int32", -1);
  for (long s = 0; s <= all.count; ++s) {
    const int64_t least = s ? all.block_offsets[s - 1] : 0, most = a[7].array.shape[0];
    if (all.block_offsets[s] < least || all.block_offsets[s] > most) {
      refuse("block_offsets[" + std::to_string(s) + "] is " + std::to_string(all.block_offsets[s]) +
             "; it must be from " + std::to_string(least) + " to " + std::to_string(most));
    }
  }
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
  const Array& q = array(a[3], "q_THD", 3, {"float32"});
  expect(q, "q_THD", 0, plan.num_rows);
  expect(q, "q_THD", 1, plan.num_heads);
  expect(q, "q_THD", 2, cache.width());
  LatentCall call{};
  call.q = rows_of(q, "q_THD", call.q_stride);
  const Array& out = output(a[4], "out_THL", 3, "float32", 4);
  expect(out, "out_THL", 0, plan.num_rows);
  expect(out, "out_THL", 1, plan.num_heads);
  expect(out, "out_THL", 2, cache.latent);
  call.out = reinterpret_cast<float*>(out.data);
  call.out_stride = plan.num_heads * cache.latent;
  if (a[5].type != Argument::NONE) {
    const Array& lse = output(a[5], "lse_TH", 2, "float32", 4);
    expect(lse, "lse_TH", 0, plan.num_rows);
    expect(lse, "lse_TH", 1, plan.num_heads);
    call.lse = reinterpret_cast<float*>(lse.data);
  }
  const double scale = a[6].number;
  if (a[6].type != Argument::FLOAT || !(scale > 0 && scale < 1e30)) {
    refuse("scale is " + std::to_string(scale) + "; it must be a number above 0");
  }
  call.scale = float(scale);
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
          {"mla_block_bytes", block_bytes, 1, true},
          {"mla_read_blocks", read_blocks, 3, false},
          {"mla_write_blocks", write_blocks, 3, false},
          {"mla_write", write, 6, false},
          {"mla_read", read, 5, false},
          {"mla_plan", make_plan, 9, false},
          {"mla_forward", forward, 7, false}};
}

}  // namespace perfuse
