// What of a region travels where memory is not shared: its control and the rows that are there.
#pragma once
#include "layout.h"
#include "ucp.h"

namespace perfuse::a2a {

// A region's used bytes in the order in which they travel, its control first. `region` may be
// nullptr: then only the lengths are right.
struct Parcel {
  static constexpr long kPiecesMax = 6;
  Parcel() = default;
  // rows: those that lie there, 0 where the answer is a refusal.
  Parcel(const Layout& layout, const Geometry& geometry, Side side, char* region, long rows);

  ucp::Piece pieces[kPiecesMax];
  long num_pieces = 0;
  size_t bytes = 0;

 private:
  void add(char* region, long at, long length);
};

// The largest there is, on each side.
size_t parcel_bytes_max(const Layout& layout, const Geometry& geometry, Side side);

// The round of a parcel, as its sender says; `length` is at least a control's.
uint64_t parcel_round(const char* parcel);

// Into a region of this rank's own, the round last. False, and nothing is written, where the length
// is not that of what the control says. `parcel` is memory that nobody else writes.
bool unpack(const Layout& layout, const Geometry& geometry, Side side, const char* parcel,
            size_t length, char* region);

}  // namespace perfuse::a2a
