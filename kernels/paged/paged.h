// What attention over keys and values and attention over latents share: a cache in blocks, and the
// sequences of a step over it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "../native/arguments.h"
#include "../native/memory.h"
#include "../native/table.h"

namespace perfuse {

constexpr long kBlockStep = 16;  // a block holds a multiple of so many tokens, up to 256

// Throws std::invalid_argument, naming the size, unless it is a multiple of step in least .. most.
long checked_size(const char* name, long value, long least, long most, long step);

// Blocks of tokens, each with all layers; zeros until they are written.
class PagedCache : public Owned {
 public:
  char* block(long id) const { return memory.data() + size_t(id) * block_bytes; }

  const Kind kind;  // fp32, bf16 or int8
  const long num_blocks, block_size, num_layers;
  const size_t layer_bytes, block_bytes;
  const Memory memory;

 protected:
  // layer_bytes: one layer of a block. Throws std::invalid_argument on sizes that it cannot have,
  // std::bad_alloc on too large ones.
  PagedCache(Kind kind, long num_blocks, long block_size, long num_layers, size_t layer_bytes);
};

// The sequences of a step; the arrays are the caller's. New tokens of all sequences lie one after
// another: rows of q, of what is written and of out. A sequence's keys are at positions first_keys
// .. end_keys - 1, its blocks hold them in order: the first slot of its first block is position
// first_keys, a multiple of block_size. Where all keys are here, first_keys is 0, end_keys is start
// + count.
struct Sequences {
  long count = 0;
  const int64_t* starts = nullptr;         // [S] position of the first new token
  const int64_t* counts = nullptr;         // [S] new tokens
  const int64_t* first_keys = nullptr;     // [S]
  const int64_t* end_keys = nullptr;       // [S]
  const int64_t* block_offsets = nullptr;  // [S + 1] into blocks
  const int32_t* blocks = nullptr;
};

// A step's sequences, checked against a cache and kept: once a step, for all layers of one window.
class PagedPlan : public Owned {
 public:
  struct Sequence {
    int64_t start, count, first_key, end_key, first_row;
    const int32_t* blocks;

    // Positions of the keys that the token at `position` sees; none where end <= begin.
    int64_t begin_of(int64_t position, long window) const {
      return std::max(first_key, window > 0 ? position - window + 1 : 0);
    }
    int64_t end_of(int64_t position) const { return std::min(end_key, position + 1); }
  };
  // Room for partial results between an op's two phases, 64-byte aligned; may be 0.
  size_t partial_bytes() const { return size_t(num_partials) * sizeof(float); }

  const long num_heads, window;
  const long num_blocks, block_size;  // of the cache that it was made for
  long num_rows = 0, num_partials = 0;
  size_t kv_bytes = 0;  // that a layer reads, at least
  std::vector<Sequence> sequences;

 protected:
  // A query at position p sees keys up to p, and with window > 0 from p - window + 1 on. Throws
  // std::invalid_argument where a block or range cannot be.
  PagedPlan(const PagedCache& cache, long num_heads, const Sequences& all, long window);

 private:
  void check(const Sequences& all, long s) const;
  void check_blocks(const Sequence& sequence, long s) const;
  std::vector<int32_t> blocks_;
};

}  // namespace perfuse
