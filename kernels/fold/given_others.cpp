// What others do on chips' machines and links, as Python says it.
#include <algorithm>

#include "calls.h"

namespace perfuse::fold {
namespace {

constexpr int64_t kRateMax = 1'000'000'000'000'000;
constexpr int64_t kMessageMax = int64_t{1} << 44;  // bytes
constexpr int64_t kMessageNsMax = int64_t{1} << 50;

int64_t now_of(const Fold& group, const Argument& argument) {
  return integer(argument, "now_ns", group.now_ns(), kTimeMax);
}

int64_t bytes_of(const Argument& argument, int64_t rate) {
  const int64_t bytes = integer(argument, "num_bytes", 0, kMessageMax);
  if (double(bytes) * 1e9 / double(rate) > double(kMessageNsMax)) {
    refuse("a message of " + std::to_string(bytes) + " bytes takes longer than 2^50 ns, 13 days, " +
           "at " + std::to_string(rate) + " bytes a second");
  }
  return bytes;
}

int launching_chip(const Fold& group, const Argument& argument, int64_t now_ns) {
  const int chip = chip_of(group, argument);
  if (!group.has_stretch(chip) || !group.under_way(chip, now_ns).is_launching) {
    refuse("chip " + std::to_string(chip) + " has no launch under way");
  }
  return chip;
}

}  // namespace

// Whether a launch is under way, its begin and lateness, step and exchange.
void under_way(const Argument* a, Result& result) {
  const Fold& group = folded(a[0]);
  const int chip = chip_of(group, a[1]);
  const int64_t now_ns = now_of(group, a[2]);
  const Array& to = output(a[3], "under way", 1, "int64", 8);
  expect(to, "under way", 0, 5);
  result.set(int64_t{group.has_stretch(chip)});
  if (!group.has_stretch(chip)) return;
  const UnderWay found = group.under_way(chip, now_ns);
  int64_t* at = reinterpret_cast<int64_t*>(to.data);
  for (const int64_t value : {int64_t{found.is_launching}, found.begin_ns, found.late_ns,
                              found.step, found.exchange}) {
    *at++ = value;
  }
}

void hold(const Argument* a, Result&) {
  Fold& group = folded(a[0]);
  const Array& slow = array(a[4], "slow", 1, {"float64"});
  expect(slow, "slow", 0, 1);
  const double factor = element<double>(slow, 0);
  if (!(factor >= 1e-3 && factor <= 1e6)) refuse("slow must be from 0.001 to 1e6");
  group.hold(chip_of(group, a[1]), now_of(group, a[2]), integer(a[3], "until_ns", 0, kTimeMax),
             factor);
}

void lengthen(const Argument* a, Result&) {
  Fold& group = folded(a[0]);
  const int64_t now_ns = now_of(group, a[2]);
  group.lengthen(launching_chip(group, a[1], now_ns), now_ns,
                 integer(a[3], "by_ns", 1, kMessageNsMax));
}

void leave(const Argument* a, Result& result) {
  Fold& group = folded(a[0]);
  const int64_t bytes = bytes_of(a[3], group.terms().chip_rate);
  result.set(group.leave(chip_of(group, a[1]), now_of(group, a[2]), bytes));
}

void come(const Argument* a, Result& result) {
  Fold& group = folded(a[0]);
  const int64_t rate = group.terms().chip_rate, limit = integer(a[4], "limit_per_s", 0, kRateMax);
  const int64_t bytes = bytes_of(a[3], limit ? std::min(limit, rate) : rate);
  result.set(group.come(chip_of(group, a[1]), {now_of(group, a[2]), bytes, limit}));
}

}  // namespace perfuse::fold
