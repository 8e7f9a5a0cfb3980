// Arguments that every op over a paged cache takes, checked so that the inner code need not.
#pragma once
#include <initializer_list>
#include <vector>

#include "paged.h"

namespace perfuse {

constexpr long kWriteRows = 16;  // new tokens of one item of a write

// Floats with a stride between tokens, and no gaps within one.
struct TokenRows {
  const float* data;
  long stride;  // in floats
};

// Where new tokens go, each slot within the cache.
struct Slots {
  long count;
  std::vector<int32_t> values;

  const int32_t* blocks() const { return values.data(); }
  const int32_t* offsets() const { return values.data() + count; }
  long num_items() const { return (count + kWriteRows - 1) / kWriteRows; }
  // Of an item's tokens, one past the last.
  long end_of(long item) const { return std::min(count, (item + 1) * kWriteRows); }
};

// Throws std::invalid_argument where the argument, called `name`, is not float32 of this shape.
TokenRows rows_of(const Argument& argument, const char* name, std::initializer_list<long> shape);
float* floats_out(const Argument& argument, const char* name, std::initializer_list<long> shape);
// As floats_out, nullptr where None is given.
float* optional_out(const Argument& argument, const char* name, std::initializer_list<long> shape);

// a[0], a[1]: block and offset of each new token.
Slots slots_of(const Argument* a, const PagedCache& cache);

// a[0] .. a[5]: starts, counts, first_keys, end_keys, block_offsets, blocks.
Sequences sequences_of(const Argument* a);

float scale_of(const Argument& argument);

}  // namespace perfuse
