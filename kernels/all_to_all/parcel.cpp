#include "parcel.h"

#include <cstddef>
#include <cstring>
#include <type_traits>

namespace perfuse::a2a {
namespace {

constexpr size_t kControlBytes = sizeof(WorkControl);
static_assert(kControlBytes == sizeof(AnswerControl));

struct Said {
  long rows;   // the control's word
  long there;  // rows that travel with it
};

Said said_by(const char* parcel, Side side) {
  if (side == WORK) {
    const long rows = reinterpret_cast<const WorkControl*>(parcel)->num_rows.load();
    return {rows, rows};
  }
  const auto& control = *reinterpret_cast<const AnswerControl*>(parcel);
  const long rows = control.num_rows.load();
  return {rows, control.status.load() == uint32_t(Status::SUMS) ? rows : 0};
}

template <class Control>
void publish(const char* parcel, char* region) {
  const auto& from = *reinterpret_cast<const Control*>(parcel);
  auto& to = *reinterpret_cast<Control*>(region);
  to.num_rows.store(from.num_rows.load(), std::memory_order_relaxed);
  if constexpr (std::is_same_v<Control, WorkControl>) {
    to.tag.store(from.tag.load(), std::memory_order_relaxed);
  } else {
    to.status.store(from.status.load(), std::memory_order_relaxed);
  }
  to.round.store(from.round.load(), std::memory_order_release);
}

}  // namespace

void Parcel::add(char* region, long at, long length) {
  if (length == 0) return;
  pieces[num_pieces++] = {region ? region + at : nullptr, size_t(length)};
  bytes += size_t(length);
}

Parcel::Parcel(const Layout& layout, const Geometry& g, Side side, char* region, long rows) {
  add(region, 0, long(kControlBytes));
  if (side == WORK) {
    add(region, layout.requests_at, rows * 8);
    add(region, layout.positions_at, rows * 8);
    add(region, layout.experts_at, rows * g.each * 4);
    add(region, layout.weights_at, rows * g.each * 4);
    add(region, layout.rows_at, rows * layout.send_row_bytes);
  } else {
    add(region, layout.answer_rows_at, rows * layout.back_row_bytes);
  }
}

size_t parcel_bytes_max(const Layout& layout, const Geometry& geometry, Side side) {
  return Parcel(layout, geometry, side, nullptr, geometry.capacity).bytes;
}

uint64_t parcel_round(const char* parcel) {
  static_assert(offsetof(WorkControl, round) == 0 && offsetof(AnswerControl, round) == 0);
  return reinterpret_cast<const std::atomic<uint64_t>*>(parcel)->load();
}

bool unpack(const Layout& layout, const Geometry& geometry, Side side, const char* parcel,
            size_t length, char* region) {
  const Said said = said_by(parcel, side);
  if (said.rows > geometry.capacity) return false;
  const Parcel to(layout, geometry, side, region, said.there);
  if (length != to.bytes) return false;
  const char* from = parcel + kControlBytes;
  for (long i = 1; i < to.num_pieces; ++i) {
    std::memcpy(to.pieces[i].data, from, to.pieces[i].length);
    from += to.pieces[i].length;
  }
  if (side == WORK) {
    publish<WorkControl>(parcel, region);
  } else {
    publish<AnswerControl>(parcel, region);
  }
  return true;
}

}  // namespace perfuse::a2a
