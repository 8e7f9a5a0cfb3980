// What slower senders leave of a lane to those behind them.
#include "lane.h"

namespace perfuse::fold {

// Whole ns first, so that nothing is beyond 128 bits.
Grains PartedLane::grains(int64_t bytes) const {
  const Grains work = Grains(bytes) * Grains(kNsPerS), rate = Grains(bytes_per_s_);
  return work / rate * kGrains + (work % rate * kGrains + rate - 1) / rate;
}

Grains PartedLane::part(int64_t limit_per_s) {
  if (!limit_per_s || limit_per_s >= bytes_per_s_) return kGrains;
  if (limit_per_s != known_per_s_) {
    const Grains rate = Grains(bytes_per_s_);
    known_ = (kGrains * Grains(limit_per_s) + rate - 1) / rate;
    known_per_s_ = limit_per_s;
  }
  return known_;
}

int64_t PartedLane::take(int64_t now_ns, int64_t bytes, int64_t limit_per_s) {
  const Grains limit = part(limit_per_s);
  if (open_.empty() && limit == kGrains) {
    free_ns_ = std::max(free_ns_, now_ns) + duration_ns(bytes, bytes_per_s_);
    return free_ns_;
  }
  Grains wanted = grains(bytes);
  size_t gone = 0;
  while (gone < open_.size() && open_[gone].until_ns <= now_ns) free_ns_ = open_[gone++].until_ns;
  open_.erase(open_.begin(), open_.begin() + long(gone));
  free_ns_ = std::max(free_ns_, now_ns);
  int64_t at_ns = free_ns_;
  next_.clear();
  open_.push_back({kNever, kGrains});
  bool is_done = false;
  for (const Segment& segment : open_) {
    if (is_done) {
      next_.push_back(segment);
      continue;
    }
    const Grains rate = std::min(limit, segment.left);
    if (!rate) {
      next_.push_back(segment);
      at_ns = segment.until_ns;
      continue;
    }
    const Grains whole = (wanted + rate - 1) / rate;
    const Grains took = std::min(whole, Grains(segment.until_ns - at_ns));
    at_ns += int64_t(took);
    next_.push_back({at_ns, segment.left - rate});
    if (whole == took) {
      next_.push_back(segment);
      is_done = true;
    } else {
      wanted -= rate * took;
    }
  }
  keep();
  return at_ns;
}

void PartedLane::keep() {
  open_.clear();
  int64_t begin_ns = free_ns_;
  for (const Segment& segment : next_) {
    if (segment.until_ns == kNever) break;
    if (segment.until_ns <= begin_ns) continue;
    if (segment.left || !open_.empty()) {
      open_.push_back(segment);
    } else {
      free_ns_ = segment.until_ns;
    }
    begin_ns = segment.until_ns;
  }
}

}  // namespace perfuse::fold
