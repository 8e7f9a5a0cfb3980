// All that a solver knows, as bytes, and a solver that goes on from there.
//
// What follows from the flows is not written down but made again: who is on which resource, which
// slots are free, whose end comes next. So bytes that anybody could have written are refused where
// a number is out of its range, and cannot disagree with themselves.
#include <algorithm>
#include <memory>

#include "grains.h"
#include "paths.h"

namespace perfuse {
namespace {

constexpr int64_t kFormat = 0x7061746873303032;  // "paths002"
constexpr int64_t kMany = int64_t{1} << 30;

class Writer {
 public:
  explicit Writer(std::vector<char>& to) : to_(to) {}
  template <class T>
  void put(const T& value) {
    const char* bytes = reinterpret_cast<const char*>(&value);
    to_.insert(to_.end(), bytes, bytes + sizeof value);
  }
  void put_all(const std::vector<int>& values) {
    put(int64_t(values.size()));
    for (const int value : values) put(value);
  }

 private:
  std::vector<char>& to_;
};

class Reader {
 public:
  Reader(const char* at, int64_t size) : at_(at), left_(size) {}
  template <class T>
  T get() {
    if (left_ < int64_t(sizeof(T))) refuse("saved ends in the middle");
    T value;
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    left_ -= int64_t(sizeof value);
    return value;
  }
  int64_t whole(const char* what, int64_t least, int64_t most) {
    const int64_t value = get<int64_t>();
    check(what, value, least, most);
    return value;
  }
  Int large(const char* what, Int least, Int most) {
    const Int value = get<Int>();
    if (value < least || value > most) refuse(std::string("saved has ") + what + " out of range");
    return value;
  }
  std::vector<int> all(const char* what, int64_t most) {
    std::vector<int> values(size_t(whole(what, 0, left_ / int64_t(sizeof(int)))));
    for (int& value : values) {
      value = get<int>();
      check(what, value, 0, most - 1);
    }
    return values;
  }
  bool is_over() const { return left_ == 0; }
  int64_t left() const { return left_; }

 private:
  static void check(const char* what, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most) {
      refuse(std::string("saved has ") + what + " " + std::to_string(value));
    }
  }
  const char* at_;
  int64_t left_;
};

}  // namespace

std::vector<char> Paths::saved() const {
  std::vector<char> bytes;
  Writer to(bytes);
  to.put(kFormat);
  for (const int64_t one : {now_ns_, num_joined_, gone_at_ns_, int64_t(ranked_)}) to.put(one);
  to.put(num_hops());
  for (const Hop& hop : hops_) {
    for (const Int one : {hop.rate, hop.used, hop.served, hop.top}) to.put(one);
    for (const int64_t one : {hop.units, hop.since_ns, hop.peak}) to.put(one);
    to.put(int64_t(hop.is_known));
  }
  to.put(num_ways());
  for (const std::vector<int>& way : ways_) to.put_all(way);
  to.put(int64_t(flows_.size()));
  for (const PathFlow& one : flows_) {
    to.put(one.order);
    if (!one.order) continue;
    for (const Int each : {one.level, one.rate, one.limit, one.left}) to.put(each);
    for (const int64_t each : {one.weight, one.rank, one.since_ns, one.promise_ns,
                               int64_t(one.held_by), int64_t(one.way_number)}) {
      to.put(each);
    }
  }
  to.put_all(fresh_);
  to.put_all(touched_);
  return bytes;
}

Paths* Paths::from_saved(const char* bytes, int64_t size) {
  Reader from(bytes, size);
  auto paths = std::make_unique<Paths>();
  if (from.get<int64_t>() != kFormat) refuse("saved is of another kind");
  paths->now_ns_ = from.whole("now_ns", 0, kNsMax);
  paths->num_joined_ = from.whole("num_joined", 0, kNsMax);
  paths->gone_at_ns_ = from.whole("gone_at_ns", -1, kNsMax);
  paths->ranked_ = from.whole("ranked", 0, 1);
  const Int most = Int(1) << 120;
  const int64_t num_hops = from.whole("num_hops", 0, std::min(kMany, from.left()));
  for (int64_t i = 0; i < num_hops; ++i) {
    Hop hop;
    hop.rate = from.large("rate", kGrains, kRateMax * kGrains);
    hop.used = from.large("used", -most, most);
    hop.served = from.large("served", -most, most);
    hop.top = from.large("top", -most, most);
    hop.units = from.whole("units", INT64_MIN, INT64_MAX);
    hop.since_ns = from.whole("since_ns", 0, kNsMax);
    hop.peak = from.whole("peak", 0, kMany);
    hop.is_known = from.whole("is_known", 0, 1);
    paths->hops_.push_back(std::move(hop));
  }
  const int64_t num_ways = from.whole("num_ways", 0, std::min(kMany, from.left()));
  for (int64_t i = 0; i < num_ways; ++i) {
    paths->ways_.push_back(from.all("hop", num_hops));
    if (paths->ways_.back().empty()) refuse("saved has a way of no hop");
  }
  paths->read_flows(from.whole("num_flows", 0, std::min(kMany, from.left())),
                    [&](PathFlow& one) {
                      one.order = from.whole("order", 0, paths->num_joined_);
                      if (!one.order) return;
                      one.level = from.large("level", -most, most);
                      one.rate = from.large("rate", 0, most);
                      one.limit = from.large("limit", -1, most);
                      one.left = from.large("left", 0, most);
                      one.weight = from.whole("weight", 1, 1 << 20);
                      one.rank = from.whole("rank", 0, kRankMax);
                      one.since_ns = from.whole("since_ns", 0, kNsMax);
                      one.promise_ns = from.whole("promise_ns", -1, kNsMax);
                      one.held_by = int(from.whole("held_by", -1, num_hops - 1));
                      one.way_number = int(from.whole("way", 0, num_ways - 1));
                    });
  paths->fresh_ = from.all("fresh", int64_t(paths->flows_.size()));
  paths->touched_ = from.all("touched", num_hops);
  for (const int slot : paths->fresh_) {
    if (!paths->flow(slot).order) refuse("saved has a fresh flow that is none");
  }
  if (!from.is_over()) refuse("saved goes on beyond its end");
  return paths.release();
}

void Paths::read_flows(int64_t count, const std::function<void(PathFlow&)>& read) {
  std::vector<int> taken;
  for (int slot = 0; slot < int(count); ++slot) {
    flows_.emplace_back();
    PathFlow& one = flows_.back();
    read(one);
    if (!one.order) {
      free_.push_back(slot);
      continue;
    }
    taken.push_back(slot);
    const std::vector<int>& hops = ways_[size_t(one.way_number)];
    one.way = {hops.data(), int(hops.size())};
    num_limited_ += one.limit >= 0;
    if (one.promise_ns >= 0) ends_.push_back({one.promise_ns, one.order, slot});
  }
  std::sort(taken.begin(), taken.end(),
            [&](int one, int other) { return flow(one).order < flow(other).order; });
  for (const int slot : taken) {
    for (const int index : flow(slot).way) at(index).flows.push_back(slot);
  }
  std::make_heap(ends_.begin(), ends_.end(), std::greater<End>());
}

}  // namespace perfuse
