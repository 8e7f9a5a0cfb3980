// Sizes of a cache and ranges of a step's sequences, refused where they cannot be.
#include "paged.h"

#include <new>
#include <string>

namespace perfuse {
namespace {

constexpr long kCountMax = long{1} << 31;
constexpr int64_t kPositionMax = int64_t{1} << 40;
constexpr int64_t kRowsLimit = int64_t{1} << 31;

Kind checked(Kind kind) {
  if (kind == I4) refuse("kind is int4; a cache takes fp32, bf16 or int8");
  return kind;
}

// A cache that no address space holds must be refused before it is multiplied out.
size_t total_bytes(size_t block_bytes, long num_blocks) {
  if (size_t(num_blocks) > (size_t{1} << 46) / block_bytes) throw std::bad_alloc();
  return size_t(num_blocks) * block_bytes;
}

[[noreturn]] void refuse_sequence(long s, const char* name, int64_t value,
                                  const std::string& must) {
  refuse("sequence " + std::to_string(s) + ": " + name + " is " + std::to_string(value) +
         "; it must be " + must);
}

}  // namespace

long checked_size(const char* name, long value, long least, long most, long step) {
  if (value < least || value > most || value % step != 0) {
    refuse(std::string(name) + " is " + std::to_string(value) + "; it must be " +
           (step > 1 ? "a multiple of " + std::to_string(step) + " " : "") + "from " +
           std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
}

PagedCache::PagedCache(Kind kind_, long num_blocks_, long block_size_, long num_layers_,
                       size_t layer_bytes_)
    : kind(checked(kind_)),
      num_blocks(checked_size("num_blocks", num_blocks_, 1, kCountMax - 1, 1)),
      block_size(checked_size("block_size", block_size_, kBlockStep, 256, kBlockStep)),
      num_layers(checked_size("num_layers", num_layers_, 1, 65536, 1)), layer_bytes(layer_bytes_),
      block_bytes(size_t(num_layers) * layer_bytes),
      memory(total_bytes(block_bytes, num_blocks)) {}

PagedPlan::PagedPlan(const PagedCache& cache, long num_heads_, const Sequences& all, long window_)
    : num_heads(num_heads_), window(window_), num_blocks(cache.num_blocks),
      block_size(cache.block_size) {
  if (window < 0) refuse("window is " + std::to_string(window) + "; it must be at least 0");
  blocks_.assign(all.blocks, all.blocks + all.block_offsets[all.count]);
  for (long s = 0; s < all.count; ++s) {
    check(all, s);
    sequences.push_back({all.starts[s], all.counts[s], all.first_keys[s], all.end_keys[s], num_rows,
                         blocks_.data() + all.block_offsets[s]});
    num_rows += all.counts[s];
    if (num_rows > kRowsLimit) refuse("a step has more than 2^31 query rows");
    check_blocks(sequences.back(), s);
  }
}

void PagedPlan::check(const Sequences& all, long s) const {
  const auto range = [&](const char* name, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most) {
      refuse_sequence(s, name, value, "from " + std::to_string(least) + " to " +
                                          std::to_string(most));
    }
  };
  range("start", all.starts[s], 0, kPositionMax);
  range("count", all.counts[s], 0, kRowsLimit);
  range("first_key", all.first_keys[s], 0, kPositionMax);
  if (all.first_keys[s] % block_size != 0) {
    refuse_sequence(s, "first_key", all.first_keys[s],
                    "a multiple of block_size, " + std::to_string(block_size));
  }
  const int64_t blocks = all.block_offsets[s + 1] - all.block_offsets[s];
  if (blocks < 0) refuse_sequence(s, "its number of blocks", blocks, "at least 0");
  range("end_key", all.end_keys[s], all.first_keys[s], all.first_keys[s] + blocks * block_size);
}

// Those that some query sees; the others may be anything.
void PagedPlan::check_blocks(const Sequence& sequence, long s) const {
  if (sequence.count == 0) return;
  const int64_t last = sequence.start + sequence.count - 1;
  for (int64_t key = sequence.begin_of(sequence.start, window); key < sequence.end_of(last);
       key = (key / block_size + 1) * block_size) {
    const int32_t block = sequence.blocks[(key - sequence.first_key) / block_size];
    if (block < 0 || block >= num_blocks) {
      refuse_sequence(s, "a block", block, "from 0 to " + std::to_string(num_blocks - 1));
    }
  }
}

}  // namespace perfuse
