// Who is next: a tournament over all chips and shards, each with the one thing that it waits for.
//
// At an instant the virtual world runs timers in the order in which they were set, then the tasks
// that they woke. A moment is where that puts a timer:
//
//   at        when it is due
//   set       when it was set, and in which part of that instant: as a message's first byte came
//             (kArrived), by a task (kTask), or by who begins a stretch (kOutside)
//   woken_by, order   of what was set there by tasks: the `set` of what woke the task, and its
//             order; of all else only the order
#pragma once
#include <cstdint>
#include <vector>

#include "lane.h"

namespace perfuse::fold {

enum Part : uint64_t { kArrived = 0, kTask = 1, kOutside = 2 };

inline uint64_t set_at(int64_t ns, Part part) { return uint64_t(ns) * 4 + part; }

struct Moment {
  int64_t at = kNever;
  uint64_t set = 0, woken_by = 0, order = 0;

  Part part() const { return Part(set & 3); }

  bool operator<(const Moment& other) const {
    if (at != other.at) return at < other.at;
    if (set != other.set) return set < other.set;
    if (woken_by != other.woken_by) return woken_by < other.woken_by;
    return order < other.order;
  }
};

class Instants {
 public:
  explicit Instants(int count) : leaves_(1) {
    while (leaves_ < count) leaves_ *= 2;
    moments_.resize(size_t(leaves_));
    winners_.resize(size_t(leaves_) * 2, {kNever, 0});
    for (int i = 0; i < leaves_; ++i) winners_[size_t(leaves_ + i)].who = i;
    for (int i = leaves_ - 1; i > 0; --i) winners_[size_t(i)] = winners_[size_t(2 * i)];
  }

  int first() const { return winners_[1].who; }
  const Moment& at(int who) const { return moments_[size_t(who)]; }

  void put(int who, const Moment& moment) {
    moments_[size_t(who)] = moment;
    Winner winner{moment.at, who};
    winners_[size_t(leaves_ + who)].at = moment.at;
    for (int i = leaves_ + who; i > 1; i /= 2) {
      const Winner other = winners_[size_t(i ^ 1)];
      if (other.at < winner.at || (other.at == winner.at && at(other.who) < at(winner.who))) {
        winner = other;
      }
      Winner& above = winners_[size_t(i / 2)];
      if (above.who == winner.who && winner.who != who) return;
      above = winner;
    }
  }
  void drop(int who) { put(who, Moment()); }

 private:
  struct Winner {
    int64_t at;  // its moment's: most often that decides
    int who;
  };

  int leaves_;
  std::vector<Moment> moments_;
  std::vector<Winner> winners_;
};

}  // namespace perfuse::fold
