// Rows in the precision that travels: from a caller's array into an arena, and sums of them.
#pragma once
#include <vector>

#include "../native/arguments.h"
#include "layout.h"

namespace perfuse::a2a {

// Rows that are to be sent: as numbers (float32, for fp64 float64 too), which `write` rounds, or in
// the format itself (bf16 as uint16, int8 as the dispatch codec packs it), which it copies.
class RowSource {
 public:
  // Throws std::invalid_argument where shape or dtype do not fit.
  RowSource(const Argument& argument, const char* name, RowFormat format, long hidden);
  long count() const { return array_.shape[0]; }
  // Rows lie as they travel: many in a row are one copy.
  bool is_run() const { return run_; }
  const char* run(long row) const { return array_.data + row * bytes_; }
  void write(long row, char* to) const;

 private:
  const Array& array_;
  RowFormat format_;
  long hidden_, bytes_;
  bool wire_, run_;
};

// The sum of rows as they travelled, in their order and from zero, float64 for fp64, else float32.
// wide: bf16 adds up in float64 as well, which is exact for all that it can hold side by side.
void sum_rows(RowFormat format, const std::vector<const char*>& rows, long hidden, bool wide,
              void* sum);

}  // namespace perfuse::a2a
