// What Python calls.
#include "../native/functions.h"

#include "grains.h"
#include "paths.h"

namespace perfuse {
namespace {

constexpr int64_t kHopsMax = int64_t{1} << 24;

Paths& paths(const Argument& argument) { return owned<Paths>(argument, "paths"); }

int64_t time_ns(const Argument& argument) { return integer(argument, "now_ns", 0, kNsMax); }

void create(const Argument*, Result& result) { result.give(new Paths); }

void add(const Argument* a, Result& result) {
  Paths& all = paths(a[0]);
  if (all.num_hops() == kHopsMax) refuse("there are too many resources");
  result.set(int64_t{all.add(integer(a[1], "rate_per_s", 1, kRateMax))});
}

void way(const Argument* a, Result& result) {
  Paths& all = paths(a[0]);
  const Array& given = array(a[1], "hops", 1, {"int32"});
  if (!given.count()) refuse("hops is empty; a flow crosses something");
  std::vector<int> hops;
  for (long i = 0; i < given.count(); ++i) {
    const int64_t hop = whole_number(given, i);
    if (hop < 0 || hop >= all.num_hops()) {
      refuse("hops has " + std::to_string(hop) + "; there are " + std::to_string(all.num_hops()));
    }
    for (const int known : hops) {
      if (known == hop) refuse("hops has " + std::to_string(hop) + " twice");
    }
    hops.push_back(int(hop));
  }
  result.set(int64_t{all.add_way(hops)});
}

void join(const Argument* a, Result& result) {
  Paths& all = paths(a[0]);
  const int64_t now_ns = time_ns(a[1]), amount = integer(a[2], "amount", 0, kAmountMax);
  const int way = int(integer(a[3], "way", 0, all.num_ways() - 1));
  const int64_t limit = integer(a[4], "limit_per_s", -1, kRateMax);
  if (!limit) refuse("limit_per_s is 0; it must be above it, or -1");
  const int64_t weight = integer(a[5], "weight", 1, 1 << 20);
  const int64_t rank = integer(a[6], "rank", 0, kRankMax);
  result.set(int64_t{all.join(now_ns, amount, way, limit, weight, rank)});
}

void leave(const Argument* a, Result&) {
  Paths& all = paths(a[0]);
  const int64_t flow = integer(a[2], "flow", 0, INT32_MAX);
  if (!all.flows(flow)) refuse("flow is " + std::to_string(flow) + ", which has ended or left");
  all.leave(time_ns(a[1]), int(flow));
}

void next(const Argument* a, Result& result) { result.set(paths(a[0]).next_end_ns()); }

void end(const Argument* a, Result& result) {
  result.set(int64_t{paths(a[0]).end(time_ns(a[1]))});
}

void hop(const Argument* a, Result& result) {
  const Paths& all = paths(a[0]);
  const int index = int(integer(a[1], "hop", 0, all.num_hops() - 1));
  switch (integer(a[2], "what", 0, 3)) {
    case 0: result.set(all.busy_ns(index)); break;
    case 1: result.set(all.served(index)); break;
    case 2: result.set(int64_t(all.hop(index).flows.size())); break;
    default: result.set(all.hop(index).peak);
  }
}

// Returns how many bytes there are; they are written where there is room for all.
void save(const Argument* a, Result& result) {
  const std::vector<char> bytes = paths(a[0]).saved();
  const Array& to = output(a[1], "to", 1, "uint8", 1);
  if (to.count() >= long(bytes.size())) std::memcpy(to.data, bytes.data(), bytes.size());
  result.set(int64_t(bytes.size()));
}

void load(const Argument* a, Result& result) {
  const Array& from = array(a[0], "saved", 1, {"uint8"});
  if (!from.rows_are_whole(1)) refuse("saved must be contiguous");
  result.give(Paths::from_saved(from.data, from.count()));
}

}  // namespace

Functions paths_functions() {
  return {{"paths_create", create, 0, true}, {"paths_add", add, 2, true},
          {"paths_way", way, 2, true},       {"paths_join_ranked", join, 7, true},
          {"paths_leave", leave, 3, true},   {"paths_next", next, 1, true},
          {"paths_end", end, 2, true},       {"paths_hop", hop, 3, true},
          {"paths_save", save, 2, true},     {"paths_load", load, 1, true}};
}

}  // namespace perfuse
