// One direction of a link, messages in order: as lane.py.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace perfuse::fold {

using Grains = unsigned __int128;

constexpr int64_t kNever = INT64_MAX;
constexpr int64_t kNsPerS = 1'000'000'000;
constexpr Grains kGrains = Grains(144'403'552'893'600) << 20;

// How long so many bytes take, rounded up.
inline int64_t duration_ns(int64_t bytes, int64_t bytes_per_s) {
  const Grains work = Grains(bytes) * Grains(kNsPerS) + Grains(bytes_per_s - 1);
  return int64_t(work / Grains(bytes_per_s));
}

// A message's time by its rows: few of them differ.
class Durations {
 public:
  Durations(int64_t fixed, int64_t row, int64_t bytes_per_s)
      : fixed_(fixed), row_(row), bytes_per_s_(bytes_per_s) {}

  void reserve(int64_t rows) {
    for (int64_t n = int64_t(known_.size()); n <= rows; ++n) {
      known_.push_back(duration_ns(bytes(n), bytes_per_s_));
    }
  }
  int64_t bytes(int64_t rows) const { return fixed_ + row_ * rows; }
  const int64_t* by_rows() const { return known_.data(); }
  // Of as many rows as were reserved.
  int64_t operator[](int64_t rows) const { return known_[size_t(rows)]; }

 private:
  int64_t fixed_, row_, bytes_per_s_;
  std::vector<int64_t> known_;
};

// A lane of which a message may take a part: as fast as its sender sends.
class PartedLane {
 public:
  explicit PartedLane(int64_t bytes_per_s = 1) : bytes_per_s_(bytes_per_s) {}

  // When all of it is in. limit_per_s: it goes no faster; 0: as fast as the lane.
  int64_t take(int64_t now_ns, int64_t bytes, int64_t limit_per_s);
  bool is_idle(int64_t now_ns) const { return open_.empty() && free_ns_ <= now_ns; }

 private:
  struct Segment {
    int64_t until_ns;
    Grains left;  // grains of each ns
  };
  Grains grains(int64_t bytes) const;
  Grains part(int64_t limit_per_s);
  void keep();

  int64_t bytes_per_s_, free_ns_ = 0;
  int64_t known_per_s_ = 0;  // whose part is known
  Grains known_ = 0;
  std::vector<Segment> open_, next_;
};

}  // namespace perfuse::fold
