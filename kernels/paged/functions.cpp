// Paged caches as Python calls them: blocks in and out, and arguments that several ops take.
#include <cstring>
#include <string>

#include "../native/functions.h"
#include "arguments.h"

namespace perfuse {
namespace {

const PagedCache& cache_of(const Argument& argument) {
  return owned<PagedCache>(argument, "paged cache");
}

void block_bytes(const Argument* a, Result& result) {
  result.set(int64_t(cache_of(a[0]).block_bytes));
}

const Array& ids_of(const Argument& argument, const PagedCache& cache) {
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
  const PagedCache& cache = cache_of(a[0]);
  const Array& ids = ids_of(a[1], cache);
  const Array& out = output(a[2], "out", 2, "uint8", 1);
  expect(out, "out", 0, ids.shape[0]);
  expect(out, "out", 1, long(cache.block_bytes));
  for (long i = 0; i < ids.shape[0]; ++i) {
    std::memcpy(out.data + size_t(i) * cache.block_bytes, cache.block(whole_number(ids, i)),
                cache.block_bytes);
  }
}

void write_blocks(const Argument* a, Result&) {
  const PagedCache& cache = cache_of(a[0]);
  const Array& ids = ids_of(a[1], cache);
  const Array& data = array(a[2], "data", 2, {"uint8"});
  expect(data, "data", 0, ids.shape[0]);
  expect(data, "data", 1, long(cache.block_bytes));
  for (long i = 0; i < ids.shape[0]; ++i) {
    char* to = cache.block(whole_number(ids, i));
    const char* from = data.data + i * data.strides[0];
    if (data.rows_are_whole(1)) {
      std::memcpy(to, from, cache.block_bytes);
    } else {
      for (size_t at = 0; at < cache.block_bytes; ++at) to[at] = from[long(at) * data.strides[1]];
    }
  }
}

void expect_shape(const Array& a, const char* name, std::initializer_list<long> shape) {
  int dim = 0;
  for (const long size : shape) expect(a, name, dim++, size);
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

}  // namespace

TokenRows rows_of(const Argument& argument, const char* name, std::initializer_list<long> shape) {
  const Array& rows = array(argument, name, int(shape.size()), {"float32"});
  expect_shape(rows, name, shape);
  const bool whole =
      rows.rows_are_whole(4) &&
      (rows.ndim < 3 || rows.shape[1] == 1 || rows.strides[1] == rows.shape[2] * 4) &&
      (rows.shape[0] <= 1 || rows.strides[0] % 4 == 0);
  if (!whole || reinterpret_cast<uintptr_t>(rows.data) % 4 != 0) {
    refuse(std::string(name) + " must be aligned, without gaps but between tokens");
  }
  return {reinterpret_cast<const float*>(rows.data), rows.strides[0] / 4};
}

float* floats_out(const Argument& argument, const char* name, std::initializer_list<long> shape) {
  const Array& out = output(argument, name, int(shape.size()), "float32", 4);
  expect_shape(out, name, shape);
  return reinterpret_cast<float*>(out.data);
}

float* optional_out(const Argument& argument, const char* name, std::initializer_list<long> shape) {
  return argument.type == Argument::NONE ? nullptr : floats_out(argument, name, shape);
}

Slots slots_of(const Argument* a, const PagedCache& cache) {
  const Array& blocks = array(a[0], "blocks_T", 1, {"int32", "int64"});
  const Array& offsets = array(a[1], "offsets_T", 1, {"int32", "int64"});
  const long tokens = blocks.shape[0];
  expect(offsets, "offsets_T", 0, tokens);
  Slots slots{tokens, std::vector<int32_t>(size_t(2 * tokens))};
  for (long t = 0; t < tokens; ++t) {
    const int64_t block = whole_number(blocks, t), offset = whole_number(offsets, t);
    if (block < 0 || block >= cache.num_blocks || offset < 0 || offset >= cache.block_size) {
      refuse("token " + std::to_string(t) + " goes to block " + std::to_string(block) +
             ", offset " + std::to_string(offset) + "; there are " +
             std::to_string(cache.num_blocks) + " blocks of " + std::to_string(cache.block_size));
    }
    slots.values[size_t(t)] = int32_t(block);
    slots.values[size_t(tokens + t)] = int32_t(offset);
  }
  return slots;
}

Sequences sequences_of(const Argument* a) {
  Sequences all;
  all.starts = plain<int64_t>(a[0], "starts_S", "int64", -1);
  all.count = a[0].array.shape[0];
  all.counts = plain<int64_t>(a[1], "counts_S", "int64", all.count);
  all.first_keys = plain<int64_t>(a[2], "first_keys_S", "int64", all.count);
  all.end_keys = plain<int64_t>(a[3], "end_keys_S", "int64", all.count);
  all.block_offsets = plain<int64_t>(a[4], "block_offsets", "int64", all.count + 1);
  all.blocks = plain<int32_t>(a[5], "blocks", "int32", -1);
  const long blocks = a[5].array.shape[0];
  for (long s = 0; s <= all.count; ++s) {
    const int64_t least = s ? all.block_offsets[s - 1] : 0;
    if (all.block_offsets[s] < least || all.block_offsets[s] > blocks) {
      refuse("block_offsets[" + std::to_string(s) + "] is " + std::to_string(all.block_offsets[s]) +
             "; it must be from " + std::to_string(least) + " to " + std::to_string(blocks));
    }
  }
  return all;
}

float scale_of(const Argument& argument) {
  const double scale = argument.number;
  if (argument.type != Argument::FLOAT || !(scale > 0 && scale < 1e30)) {
    refuse("scale is " + std::to_string(scale) + "; it must be a number above 0");
  }
  return float(scale);
}

Functions paged_functions() {
  return {{"paged_block_bytes", block_bytes, 1, true},
          {"paged_read_blocks", read_blocks, 3, false},
          {"paged_write_blocks", write_blocks, 3, false}};
}

}  // namespace perfuse
