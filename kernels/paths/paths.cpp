// Who is on which resource, and when flows end.
#include "paths.h"

#include <algorithm>

#include "grains.h"

namespace perfuse {

int Paths::add(int64_t rate_per_s) {
  hops_.emplace_back();
  hops_.back().rate = Int(rate_per_s) * kGrains;
  return int(hops_.size()) - 1;
}

int Paths::add_way(const std::vector<int>& hops) {
  ways_.push_back(hops);
  return int(ways_.size()) - 1;
}

// From now on the resource serves so many grains a ns more. Whole units are put aside, so that what
// a long run moves fits.
void Paths::change(Hop& hop, Int more) {
  hop.served += hop.used * (now_ns_ - hop.since_ns);
  hop.since_ns = now_ns_;
  hop.used += more;
  if (hop.served >= kUnit << 16) {
    hop.units += int64_t(hop.served / kUnit);
    hop.served %= kUnit;
  }
}

// Rates for those that joined, and for those that others have left room.
void Paths::settle() {
  if (gone_at_ns_ >= 0) refill_gone();
  if (fresh_.empty()) return;
  std::vector<int> fresh;
  fresh.swap(fresh_);
  for (const int slot : fresh) {
    for (const int index : flow(slot).way) at(index).is_known = false;
  }
  refill(fresh);
}

int Paths::join(int64_t now_ns, int64_t amount, int way, int64_t limit_per_s, int64_t weight,
                int64_t rank) {
  if (now_ns > now_ns_) {
    settle();
    now_ns_ = now_ns;
  } else if (gone_at_ns_ >= 0) {
    refill_gone();
  }
  int slot = int(flows_.size());
  if (free_.empty()) {
    flows_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  PathFlow& one = flow(slot) = PathFlow();
  one.order = ++num_joined_;
  one.since_ns = now_ns_;
  one.left = Int(amount) * kUnit;
  one.limit = limit_per_s < 0 ? Int(-1) : Int(limit_per_s) * kGrains;
  one.weight = weight;
  one.rank = rank;
  ranked_ |= rank > 0;
  one.way_number = way;
  const std::vector<int>& hops = ways_[size_t(way)];
  one.way = {hops.data(), int(hops.size())};
  num_limited_ += limit_per_s >= 0;
  for (const int index : one.way) {
    Hop& hop = at(index);
    hop.flows.push_back(slot);
    hop.peak = std::max(hop.peak, int64_t(hop.flows.size()));
  }
  fresh_.push_back(slot);
  return slot;
}

void Paths::leave(int64_t now_ns, int slot) {
  settle();
  now_ns_ = std::max(now_ns_, now_ns);
  remove(slot);
  refill_gone();
}

void Paths::remove(int slot) {
  PathFlow& one = flow(slot);
  const Int over = std::max(Int(0), one.rate * (now_ns_ - one.since_ns) - one.left);
  for (const int index : one.way) {
    Hop& hop = at(index);
    hop.flows.erase(std::find(hop.flows.begin(), hop.flows.end(), slot));
    change(hop, -one.rate);
    hop.served -= over;
    hop.is_known = false;
    if (std::find(touched_.begin(), touched_.end(), index) == touched_.end()) {
      touched_.push_back(index);
    }
  }
  num_limited_ -= one.limit >= 0;
  one.order = 0;
  free_.push_back(slot);
  gone_at_ns_ = now_ns_;
}

// New rates for those that nothing holds back any more.
void Paths::refill_gone() {
  std::vector<int> freed;
  for (const int index : touched_) {
    for (const int slot : at(index).flows) {
      PathFlow& other = flow(slot);
      if (other.is_filled) continue;
      if (ranked_ || (other.held_by == index && !holds_elsewhere(other, index, false))) {
        other.is_filled = true;
        freed.push_back(slot);
      }
    }
  }
  touched_.clear();
  gone_at_ns_ = -1;
  for (const int slot : freed) flow(slot).is_filled = false;
  refill(freed);
}

int64_t Paths::next_end_ns() {
  if (!fresh_.empty()) settle();
  for (;;) {
    while (!ends_.empty() && !holds(ends_.front())) {
      std::pop_heap(ends_.begin(), ends_.end(), std::greater<End>());
      ends_.pop_back();
    }
    const int64_t end_ns = ends_.empty() ? -1 : ends_.front().promise_ns;
    // All that end at one instant go before anybody has what they leave.
    if (gone_at_ns_ < 0 || end_ns == gone_at_ns_) return end_ns;
    refill_gone();
  }
}

int Paths::end(int64_t now_ns) {
  const int64_t end_ns = next_end_ns();
  if (end_ns < 0 || end_ns > now_ns) {
    now_ns_ = std::max(now_ns_, now_ns);
    return -1;
  }
  now_ns_ = std::max(now_ns_, end_ns);
  const int slot = ends_.front().slot;
  std::pop_heap(ends_.begin(), ends_.end(), std::greater<End>());
  ends_.pop_back();
  remove(slot);
  gone_at_ns_ = end_ns;
  return slot;
}

bool Paths::holds(const End& end) const {
  const PathFlow& one = flows_[size_t(end.slot)];
  return one.order == end.order && one.promise_ns == end.promise_ns;
}

// Shares that grow leave old promises behind the new ones: to sift them took a third of the time.
void Paths::sweep() {
  if (ends_.size() < 4 * (flows_.size() - free_.size()) + 64) return;
  const auto is_old = [&](const End& end) { return !holds(end); };
  ends_.erase(std::remove_if(ends_.begin(), ends_.end(), is_old), ends_.end());
  std::make_heap(ends_.begin(), ends_.end(), std::greater<End>());
}

// As time of the whole resource, until the last event: (units x 10^9 x kGrains + grains) / rate.
int64_t Paths::busy_ns(int index) const {
  const Hop& hop = hops_[size_t(index)];
  const Int rate_per_s = hop.rate / kGrains, units = Int(hop.units) * 1'000'000'000;
  const Int grains = hop.served + hop.used * (now_ns_ - hop.since_ns);
  const Int rest = units % rate_per_s * kGrains + grains;  // below 0 where a flow's end gave back
  return int64_t(units / rate_per_s - rounded_up(-rest, hop.rate));
}

int64_t Paths::served(int index) const {
  const Hop& hop = hops_[size_t(index)];
  const Int grains = hop.served + hop.used * (now_ns_ - hop.since_ns);
  return hop.units + int64_t(rounded_up(grains, kUnit));
}

}  // namespace perfuse
