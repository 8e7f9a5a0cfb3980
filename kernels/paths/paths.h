// Max-min fair shares of flows over several resources, solved incrementally: the algorithm of
// workers/hardware/sharing/paths.py and filling.py, in the same order and with the same integers,
// so that both name the same ends. What each step is for is said there.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "../native/arguments.h"

namespace perfuse {

__extension__ typedef __int128 Int;

struct Hop {
  Int rate = 0;    // grains a ns
  Int used = 0;    // of all flows, since since_ns
  Int served = 0;  // grains until then, beside whole `units`
  int64_t units = 0, since_ns = 0;
  Int top = 0;  // the highest level of its flows, where it is known
  bool is_known = true;
  int64_t peak = 0;
  int load = -1;           // its place in loads_, while it has one
  std::vector<int> flows;  // slots, in order of joining
};

// The resources of a flow.
struct Way {
  const int* hops = nullptr;
  int count = 0;
  const int* begin() const { return hops; }
  const int* end() const { return hops + count; }
};

// What is looked at when others are filled comes first: on one cache line.
struct alignas(64) PathFlow {
  Int level = 0, rate = 0;
  int held_by = -1;
  bool is_filled = false;  // among those that are filled anew
  Way way;
  int64_t weight = 1, rank = 0;
  Int new_rate = 0, limit = -1, left = 0;
  int64_t order = 0, since_ns = 0, promise_ns = -1;  // order 0: the slot is free
  int new_held_by = -1, way_number = 0;
};

class Paths : public Owned {
 public:
  const char* what() const override { return "paths"; }
  int add(int64_t rate_per_s);
  int add_way(const std::vector<int>& hops);
  int join(int64_t now_ns, int64_t amount, int way, int64_t limit_per_s, int64_t weight,
           int64_t rank);
  void leave(int64_t now_ns, int slot);
  int64_t next_end_ns();
  int end(int64_t now_ns);
  int64_t busy_ns(int hop) const;
  int64_t served(int hop) const;
  const Hop& hop(int index) const { return hops_[size_t(index)]; }
  int64_t num_hops() const { return int64_t(hops_.size()); }
  int64_t num_ways() const { return int64_t(ways_.size()); }
  std::vector<char> saved() const;
  // Throws std::invalid_argument where the bytes are none that `saved` wrote.
  static Paths* from_saved(const char* bytes, int64_t size);
  bool flows(int64_t slot) const {
    return slot < int64_t(flows_.size()) && flows_[size_t(slot)].order;
  }

 private:
  struct Load {
    int hop = 0;
    Int left = 0, held = -1, top = 0;
    int64_t weight = 0;
    std::vector<int> flows;
  };
  struct Level {
    Int level;
    int load;
    bool operator>(const Level& other) const {
      return level != other.level ? level > other.level : load > other.load;
    }
  };
  struct End {
    int64_t promise_ns, order;
    int slot;
    bool operator>(const End& other) const {
      return promise_ns != other.promise_ns ? promise_ns > other.promise_ns : order > other.order;
    }
  };

  PathFlow& flow(int slot) { return flows_[size_t(slot)]; }
  Hop& at(int hop) { return hops_[size_t(hop)]; }
  void change(Hop& hop, Int more);
  void settle();
  void remove(int slot);
  void refill_gone();
  void refill(std::vector<int>& flows);
  void fill(const std::vector<int>& flows);
  void fill_by_rank(const std::vector<int>& flows);
  int place_load(int index, Int left);
  void grow(const std::vector<int>& flows);
  void stop(int slot, Int rate, int held_by);
  bool others_moved(std::vector<int>& flows);
  bool holds_elsewhere(PathFlow& flow, int lost, bool are_changing);
  void all_that_meet(std::vector<int>& flows);
  void keep(const std::vector<int>& flows);
  bool holds(const End& end) const;
  void sweep();
  void drop_loads();
  void read_flows(int64_t count, const std::function<void(PathFlow&)>& read);

  std::vector<Hop> hops_;
  std::vector<std::vector<int>> ways_;
  std::vector<PathFlow> flows_;
  std::vector<int> free_, fresh_, touched_, limited_;
  std::vector<Level> levels_;
  std::vector<Load> loads_;  // the first num_loads_ of them: the others keep their memory
  size_t num_loads_ = 0;
  std::vector<End> ends_;  // a heap; old promises fall out on top, or when they are too many
  int64_t now_ns_ = 0, num_joined_ = 0, gone_at_ns_ = -1, num_limited_ = 0;
  bool ranked_ = false;  // some flow was of a rank above 0
};

}  // namespace perfuse
