// Attention as Python calls it: arguments checked here, so that the inner code need not.
#include <cstring>
#include <memory>
#include <string>

#include "../native/functions.h"
#include "../native/panels.h"
#include "../native/pool.h"
#include "attention.h"

namespace perfuse {
namespace {

constexpr long kCountMax = long{1} << 31;
constexpr long kWriteRows = 16;  // of an item

void create(const Argument* a, Result& result) {
  const Kind kind = kind_named(a[0]);
  const char* const names[] = {"num_blocks", "block_size", "num_layers", "num_kv_heads",
                               "head_dim"};
  long sizes[5];
  for (int i = 0; i < 5; ++i) sizes[i] = integer(a[i + 1], names[i], 1, kCountMax);
  result.give(new KvCache(kind, sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]));
}

KvCache& cache_of(const Argument& argument) { return owned<KvCache>(argument, "kv cache"); }

void block_bytes(const Argument* a, Result& result) {
  result.set(int64_t(cache_of(a[0]).block_bytes));
}

const Array& ids_of(const Argument& argument, const KvCache& cache) {
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
  const KvCache& cache = cache_of(a[0]);
  const Array& ids = ids_of(a[1], cache);
  const Array& out = output(a[2], "out", 2, "uint8", 1);
  expect(out, "out", 0, ids.shape[0]);
  expect(out, "out", 1, long(cache.block_bytes));
  for (long i = 0; i < ids.shape[0]; ++i) {
    std::memcpy(out.data + size_t(i) * cache.block_bytes, cache.tile(whole_number(ids, i), 0, 0, 0),
                cache.block_bytes);
  }
}

void write_blocks(const Argument* a, Result&) {
  const KvCache& cache = cache_of(a[0]);
  const Array& ids = ids_of(a[1], cache);
  const Array& data = array(a[2], "data", 2, {"uint8"});
  expect(data, "data", 0, ids.shape[0]);
  expect(data, "data", 1, long(cache.block_bytes));
  for (long i = 0; i < ids.shape[0]; ++i) {
    char* to = cache.tile(whole_number(ids, i), 0, 0, 0);
    const char* from = data.data + i * data.strides[0];
    if (data.rows_are_whole(1)) {
      std::memcpy(to, from, cache.block_bytes);
    } else {
      for (size_t at = 0; at < cache.block_bytes; ++at) to[at] = from[long(at) * data.strides[1]];
    }
  }
}

// Rows [T, heads, head_dim] whose inner two dimensions have no gaps, aligned for float.
const Array& rows_of(const Argument& argument, const char* name, long tokens, long heads,
                     long dim) {
  const Array& rows = array(argument, name, 3, {"float32"});
  expect(rows, name, 0, tokens);
  expect(rows, name, 1, heads);
  expect(rows, name, 2, dim);
  const bool whole = rows.rows_are_whole(4) && (heads == 1 || rows.strides[1] == dim * 4) &&
                     (tokens <= 1 || rows.strides[0] % 4 == 0);
  if (!whole || reinterpret_cast<uintptr_t>(rows.data) % 4 != 0) {
    refuse(std::string(name) + " must be aligned, without gaps in its last two dimensions");
  }
  return rows;
}

void write(const Argument* a, Result&) {
  const KvCache& cache = cache_of(a[0]);
  const long layer = integer(a[1], "layer", 0, cache.num_layers - 1);
  const Array& blocks = array(a[2], "blocks_T", 1, {"int32", "int64"});
  const Array& offsets = array(a[3], "offsets_T", 1, {"int32", "int64"});
  const long tokens = blocks.shape[0];
  expect(offsets, "offsets_T", 0, tokens);
  const Array& k = rows_of(a[4], "k_THD", tokens, cache.num_kv_heads, cache.head_dim);
  const Array& v = rows_of(a[5], "v_THD", tokens, cache.num_kv_heads, cache.head_dim);
  std::vector<int32_t> slots(size_t(2 * tokens));
  for (long t = 0; t < tokens; ++t) {
    const int64_t block = whole_number(blocks, t), offset = whole_number(offsets, t);
    if (block < 0 || block >= cache.num_blocks || offset < 0 || offset >= cache.block_size) {
      refuse("token " + std::to_string(t) + " goes to block " + std::to_string(block) +
             ", offset " +
             std::to_string(offset) + "; there are " + std::to_string(cache.num_blocks) +
             " blocks of " + std::to_string(cache.block_size));
    }
    slots[size_t(t)] = int32_t(block);
    slots[size_t(tokens + t)] = int32_t(offset);
  }
  auto body = [&](int, long item) {
    write_rows(cache, layer, slots.data(), slots.data() + tokens,
               reinterpret_cast<const float*>(k.data), k.strides[0] / 4,
               reinterpret_cast<const float*>(v.data), v.strides[0] / 4, item * kWriteRows,
               std::min(tokens, (item + 1) * kWriteRows));
  };
  const long items[] = {(tokens + kWriteRows - 1) / kWriteRows};
  const size_t bytes = size_t(tokens * cache.num_kv_heads * cache.head_dim) * 8;
  if (tokens > 0) run_phases(1, items, bytes, body);
}

void read(const Argument* a, Result&) {
  const KvCache& cache = cache_of(a[0]);
  const long layer = integer(a[1], "layer", 0, cache.num_layers - 1);
  const long block = integer(a[2], "block", 0, cache.num_blocks - 1);
  const Array* outs[] = {&output(a[3], "k", 3, "float32", 4), &output(a[4], "v", 3, "float32", 4)};
  for (int i = 0; i < 2; ++i) {
    expect(*outs[i], i ? "v" : "k", 0, cache.block_size);
    expect(*outs[i], i ? "v" : "k", 1, cache.num_kv_heads);
    expect(*outs[i], i ? "v" : "k", 2, cache.head_dim);
  }
  float* k = reinterpret_cast<float*>(outs[0]->data);
  float* v = reinterpret_cast<float*>(outs[1]->data);
  for (long offset = 0; offset < cache.block_size; ++offset) {
    for (long head = 0; head < cache.num_kv_heads; ++head) {
      const long at = (offset * cache.num_kv_heads + head) * cache.head_dim;
      read_slot(cache, layer, block, offset, head, k + at, v + at);
    }
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
  const KvCache& cache = cache_of(a[0]);
  const long num_heads = integer(a[1], "num_heads", 1, kCountMax);
  Sequences all;
  all.starts = plain<int64_t>(a[2], "starts_S", "int64", -1);
  all.count = a[2].array.shape[0];
  all.counts = plain<int64_t>(a[3], "counts_S", "int64", all.count);
  all.first_keys = plain<int64_t>(a[4], "first_keys_S", "int64", all.count);
  all.end_keys = plain<int64_t>(a[5], "end_keys_S", "int64", all.count);
  all.block_offsets = plain<int64_t>(a[6], "block_offsets", "int64", all.count + 1);
  all.blocks = plain<int32_t>(a[7], "blocks", "int32", -1);
  const long blocks = a[7].array.shape[0];
  for (long s = 0; s <= all.count; ++s) {
    const int64_t least = s ? all.block_offsets[s - 1] : 0;
    if (all.block_offsets[s] < least || all.block_offsets[s] > blocks) {
      refuse("block_offsets[" + std::to_string(s) + "] is " + std::to_string(all.block_offsets[s]) +
             "; it must be from " + std::to_string(least) + " to " + std::to_string(blocks));
    }
  }
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
  const Array& q = rows_of(a[3], "q_TND", plan.num_rows, plan.num_heads, cache.head_dim);
  const Array& out = output(a[4], "out_TND", 3, "float32", 4);
  expect(out, "out_TND", 0, plan.num_rows);
  expect(out, "out_TND", 1, plan.num_heads);
  expect(out, "out_TND", 2, cache.head_dim);
  float* lse = nullptr;
  if (a[5].type != Argument::NONE) {
    const Array& given = output(a[5], "lse_TN", 2, "float32", 4);
    expect(given, "lse_TN", 0, plan.num_rows);
    expect(given, "lse_TN", 1, plan.num_heads);
    lse = reinterpret_cast<float*>(given.data);
  }
  const double scale = a[6].number;
  if (a[6].type != Argument::FLOAT || !(scale > 0 && scale < 1e30)) {
    refuse("scale is " + std::to_string(scale) + "; it must be a number above 0");
  }
  if (plan.num_rows == 0) return;
  const long width = plan.num_heads * cache.head_dim;
  float* partials = nullptr;
  if (plan.num_partials > 0) {
    partials = Scratch::begin(plan.partial_bytes()).take<float>(size_t(plan.num_partials));
  }
  const AttentionCall call{reinterpret_cast<const float*>(q.data), q.strides[0] / 4,
                           reinterpret_cast<float*>(out.data), width, lse, float(scale), partials};
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
          {"attention_block_bytes", block_bytes, 1, true},
          {"attention_read_blocks", read_blocks, 3, false},
          {"attention_write_blocks", write_blocks, 3, false},
          {"attention_write", write, 6, false},
          {"attention_read", read, 5, false},
          {"attention_plan", make_plan, 9, false},
          {"attention_forward", forward, 7, false}};
}

}  // namespace perfuse
