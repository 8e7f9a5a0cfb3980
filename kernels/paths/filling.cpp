// Progressive filling of some flows, and which others that moves.
#include <algorithm>

#include "grains.h"
#include "paths.h"

namespace perfuse {
namespace {

constexpr int kEnlargedMax = 6;

Int threshold(const PathFlow& flow) { return flow.limit / flow.weight; }

}  // namespace

void Paths::refill(std::vector<int>& flows) {
  if (flows.empty()) return;
  for (const int slot : flows) flow(slot).is_filled = true;
  if (ranked_) {
    all_that_meet(flows);
    fill_by_rank(flows);
    keep(flows);
    return;
  }
  bool moved = true;
  for (int round = 0; moved && round < kEnlargedMax; ++round) {
    fill(flows);
    moved = others_moved(flows);
  }
  if (moved) {
    all_that_meet(flows);
    fill(flows);
  }
  keep(flows);
}

void Paths::drop_loads() {
  for (size_t i = 0; i < num_loads_; ++i) at(loads_[i].hop).load = -1;
  num_loads_ = 0;
}

void Paths::fill(const std::vector<int>& flows) {
  drop_loads();
  for (const int slot : flows) {
    PathFlow& one = flow(slot);
    one.new_rate = -1;
    for (const int index : one.way) {
      const Hop& hop = at(index);
      Load& load = loads_[size_t(place_load(index, hop.rate - hop.used))];
      load.left += one.rate;
      load.weight += one.weight;
      load.flows.push_back(slot);
    }
  }
  grow(flows);
}

// A resource's place in loads_, where it begins with what is left of it.
int Paths::place_load(int index, Int left) {
  Hop& hop = at(index);
  if (hop.load >= 0) return hop.load;
  hop.load = int(num_loads_++);
  if (num_loads_ > loads_.size()) loads_.emplace_back();
  Load& fresh = loads_[size_t(hop.load)];
  fresh.hop = index;
  fresh.left = left;
  fresh.held = -1;
  fresh.top = 0;
  fresh.weight = 0;
  fresh.flows.clear();
  return hop.load;
}

// All that meet, those of the lowest rank first: the next have what is left to them.
void Paths::fill_by_rank(const std::vector<int>& flows) {
  drop_loads();
  std::vector<int64_t> ranks;
  for (const int slot : flows) {
    PathFlow& one = flow(slot);
    one.new_rate = -1;
    ranks.push_back(one.rank);
    for (const int index : one.way) place_load(index, at(index).rate);
  }
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  std::vector<int> those;
  for (const int64_t rank : ranks) {
    those.clear();
    for (size_t i = 0; i < num_loads_; ++i) loads_[i].flows.clear();
    for (const int slot : flows) {
      if (flow(slot).rank != rank) continue;
      those.push_back(slot);
      for (const int index : flow(slot).way) {
        Load& load = loads_[size_t(at(index).load)];
        load.weight += flow(slot).weight;
        load.flows.push_back(slot);
      }
    }
    grow(those);
  }
}

void Paths::grow(const std::vector<int>& flows) {
  auto& limited = limited_;
  limited.clear();
  if (num_limited_) {
    for (const int slot : flows) {
      if (flow(slot).limit >= 0) limited.push_back(slot);
    }
    std::stable_sort(limited.begin(), limited.end(), [&](int one, int other) {
      return threshold(flow(one)) > threshold(flow(other));
    });
  }
  auto& heap = levels_;
  heap.clear();
  for (size_t i = 0; i < num_loads_; ++i) {
    const Load& load = loads_[i];
    if (load.weight) heap.push_back({rounded_up(load.left, load.weight), int(i)});
  }
  const std::greater<Level> later;
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    const Level lowest = heap.front();
    Load& load = loads_[size_t(lowest.load)];
    if (!load.weight) {
      std::pop_heap(heap.begin(), heap.end(), later);
      heap.pop_back();
      continue;
    }
    const Int now = rounded_up(load.left, load.weight);
    if (now > lowest.level) {
      std::pop_heap(heap.begin(), heap.end(), later);
      heap.back().level = now;
      std::push_heap(heap.begin(), heap.end(), later);
      continue;
    }
    const Int level = std::max(Int(0), lowest.level);
    if (!limited.empty() && threshold(flow(limited.back())) <= level) {
      const int slot = limited.back();
      limited.pop_back();
      if (flow(slot).new_rate < 0) stop(slot, flow(slot).limit, -1);
      continue;
    }
    std::pop_heap(heap.begin(), heap.end(), later);
    heap.pop_back();
    load.held = level;
    for (const int slot : load.flows) {
      if (flow(slot).new_rate < 0) stop(slot, level * flow(slot).weight, load.hop);
    }
  }
}

void Paths::stop(int slot, Int rate, int held_by) {
  PathFlow& one = flow(slot);
  one.new_rate = rate;
  one.new_held_by = held_by;
  const Int level = one.weight == 1 ? rate : rate / one.weight;
  for (const int index : one.way) {
    Load& load = loads_[size_t(at(index).load)];
    load.left -= rate;
    load.weight -= one.weight;
    load.top = std::max(load.top, level);
  }
}

bool Paths::others_moved(std::vector<int>& flows) {
  const size_t before = flows.size();
  for (size_t i = 0; i < num_loads_; ++i) {
    const Load& load = loads_[i];
    const Hop& hop = at(load.hop);
    if (load.flows.size() == hop.flows.size()) continue;
    const bool full = load.left <= kRounding;
    for (const int slot : hop.flows) {
      PathFlow& other = flow(slot);
      if (other.is_filled) continue;
      const bool has_more = load.held >= 0 && other.level > load.held + kRounding;
      if (!has_more) {
        if (other.held_by != load.hop || (full && load.top <= other.level + kRounding)) continue;
        if (holds_elsewhere(other, load.hop, true)) continue;
      }
      other.is_filled = true;
      flows.push_back(slot);
    }
  }
  return flows.size() > before;
}

bool Paths::holds_elsewhere(PathFlow& one, int lost, bool are_changing) {
  if (one.limit >= 0 && one.rate >= one.limit) return true;
  for (const int index : one.way) {
    Hop& hop = at(index);
    if (index == lost || (are_changing && hop.load >= 0) || hop.rate - hop.used > kRounding) {
      continue;
    }
    if (!hop.is_known) {
      hop.top = 0;
      for (const int slot : hop.flows) hop.top = std::max(hop.top, flow(slot).level);
      hop.is_known = true;
    }
    if (hop.top <= one.level + kRounding) {
      one.held_by = index;
      return true;
    }
  }
  return false;
}

void Paths::all_that_meet(std::vector<int>& flows) {
  std::vector<bool> seen(hops_.size(), false);
  for (size_t i = 0; i < flows.size(); ++i) {
    for (const int index : flow(flows[i]).way) {
      if (seen[size_t(index)]) continue;
      seen[size_t(index)] = true;
      for (const int slot : at(index).flows) {
        if (flow(slot).is_filled) continue;
        flow(slot).is_filled = true;
        flows.push_back(slot);
      }
    }
  }
  std::sort(flows.begin(), flows.end(),
            [&](int one, int other) { return flow(one).order < flow(other).order; });
}

void Paths::keep(const std::vector<int>& flows) {
  for (size_t i = 0; i < num_loads_; ++i) {
    Hop& hop = at(loads_[i].hop);
    const Int used = hop.rate - loads_[i].left;
    if (used != hop.used) change(hop, used - hop.used);
    hop.is_known = false;
  }
  drop_loads();
  for (const int slot : flows) {
    PathFlow& one = flow(slot);
    one.is_filled = false;
    one.held_by = one.new_held_by;
    const Int rate = one.new_rate;
    if (rate == one.rate) continue;
    if (one.rate > 0) {
      one.left = std::max(Int(0), one.left - one.rate * (now_ns_ - one.since_ns));
    }
    one.since_ns = now_ns_;
    one.rate = rate;
    one.level = one.weight == 1 ? rate : rate / one.weight;
    if (rate <= 0) {
      one.promise_ns = -1;
      continue;
    }
    one.promise_ns = int64_t(std::min(Int(kNsMax), now_ns_ + rounded_up(one.left, rate)));
    ends_.push_back({one.promise_ns, one.order, slot});
    std::push_heap(ends_.begin(), ends_.end(), std::greater<End>());
  }
  sweep();
}

}  // namespace perfuse
