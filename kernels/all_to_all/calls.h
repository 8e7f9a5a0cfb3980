// What the all-to-all's calls from Python have in common: how their arguments are read.
#pragma once
#include <algorithm>

#include "../native/functions.h"
#include "member.h"

namespace perfuse::a2a {

// Those about a wire.
Functions wire_functions();

constexpr long kWorldMax = 1024;
constexpr long kCapacityMax = 1 << 16;
constexpr long kHiddenMax = 1 << 20;
constexpr long kExpertsMax = 1 << 20;
constexpr long kEachMax = 1024;
constexpr int64_t kEpochMax = (int64_t{1} << kEpochBits) - 1;
constexpr int64_t kSpinMax = 1'000'000'000;
// A wait comes back to the caller this often, who handles signals and calls again. Dead processes
// are looked for then.
constexpr int64_t kSliceNs = 50'000'000;

// [world, capacity, hidden, num_experts, experts a token, send format, back format]
inline Geometry geometry_of(const Argument& argument) {
  const Array& a = array(argument, "geometry", 1, {"int64"});
  expect(a, "geometry", 0, 7);
  const auto number = [&](long i, const char* name, int64_t least, int64_t most) {
    Argument one;
    one.type = Argument::INT;
    one.integer = element<int64_t>(a, i);
    return long(integer(one, name, least, most));
  };
  return {number(0, "world", 1, kWorldMax),
          number(1, "capacity", 1, kCapacityMax),
          number(2, "hidden", 1, kHiddenMax),
          number(3, "num_experts", 1, kExpertsMax),
          number(4, "experts_per_token", 1, kEachMax),
          RowFormat(number(5, "send", 0, int64_t(RowFormat::INT8))),
          RowFormat(number(6, "back", 0, int64_t(RowFormat::FP64)))};
}

inline Member& member(const Argument& argument) { return owned<Member>(argument, "all_to_all"); }

inline long rank_of(const Argument& argument, const Member& m, const char* name = "rank") {
  return long(integer(argument, name, 0, m.geometry().world - 1));
}

inline int pipe_of(const Argument& argument) {
  return int(integer(argument, "pipe", -1, INT32_MAX));
}

inline int64_t spin(const Argument& argument) { return integer(argument, "spin_ns", 0, kSpinMax); }

// How long a call may wait, and how long it did.
struct Slice {
  explicit Slice(const Argument& argument)
      : ns(std::min(integer(argument, "timeout_ns", 0, INT64_MAX), kSliceNs)), start(now_ns()) {}
  int64_t not_yet() const {
    return int64_t(Outcome::NOT_YET) << 32 | std::min(now_ns() - start, int64_t{UINT32_MAX});
  }
  int64_t number(const Verdict& verdict) const {
    return verdict.outcome == Outcome::NOT_YET ? not_yet() : verdict.number();
  }
  const int64_t ns, start;
};

}  // namespace perfuse::a2a
