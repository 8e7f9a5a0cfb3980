// Threads that wait for work: the caller works too, nobody spins where processes outnumber cores.
#pragma once
#include <cstddef>
#include <cstdint>

namespace perfuse {

class Pool;

// One thread's view of a region that all threads of the pool run together. Each of them runs the
// same body and calls `each` and `once` in the same order; what stands between must only read.
//
// Nobody waits for a thread that is not there: a thread that comes late finds its share done by
// the others and runs through the body until it meets them. On that way it may read numbers of a
// later phase, so: a count given to `each` must not be changed by the phase that follows.
//
// Work must not throw: in a worker that would end the process.
class Team {
 public:
  // work(i) for i from 0 to count - 1, each by one thread; returns when all are done. Threads walk
  // contiguous slices, then help with the others'.
  template <class F>
  void each(long count, const F& work) {
    walk(count, 1, [&work](long begin, long end) {
      for (long i = begin; i < end; ++i) work(i);
    });
  }
  // The same for short items: work(begin, end) for runs of them, which get shorter towards the end
  // of a slice. To take one is a locked operation: it waits for all that was stored before, and on
  // cores that do not share a cache that is 0.1 us or more of memory standing still.
  template <class F>
  void each_run(long count, const F& work) {
    walk(count, kRunMax, work);
  }
  template <class F>
  void once(const F& work) {
    each(1, [&work](long) { work(); });
  }
  int thread() const { return thread_; }  // 0 is the caller
  int threads() const { return threads_; }

 private:
  friend class Pool;
  friend struct Region;
  static constexpr long kItemsMax = long{1} << 23;
  static constexpr long kRunMax = 8;

  struct Run {
    long begin, end;
  };
  template <class F>
  void walk(long count, long run_max, const F& work) {
    if (!pool_) return work(0, count);
    for (long first = 0; first < count || first == 0; first += kItemsMax) {
      const long part = count - first < kItemsMax ? count - first : kItemsMax;
      if (!enter()) continue;
      long mine = 0;
      for (int step = 0; step < threads_; ++step) {
        for (Run run; (run = take((thread_ + step) % threads_, part, run_max)).begin < run.end;) {
          work(first + run.begin, first + run.end);
          mine += run.end - run.begin;
        }
      }
      leave(part, mine);
    }
  }
  bool enter();  // the next phase; false where it is over already
  Run take(int slice, long count, long run_max);  // empty where all are taken
  void leave(long count, long mine);

  Pool* pool_ = nullptr;
  uint64_t phase_ = 0;
  int thread_ = 0, threads_ = 1;
};

struct Region {
  void (*body)(void* context, Team& team);
  void* context;

  // Returns when all is done. Serial where `bytes`, what the region will read, is small, where the
  // pool has one thread, or while another caller has the pool.
  void run(size_t bytes) const;
};

template <class F>
void together(size_t bytes, const F& body) {
  Region{[](void* context, Team& team) { (*static_cast<const F*>(context))(team); },
         const_cast<F*>(&body)}
      .run(bytes);
}

// A few phases of independent items.
template <class F>
void run_phases(int num_phases, const long* num_items, size_t bytes, const F& body) {
  together(bytes, [&](Team& team) {
    for (int phase = 0; phase < num_phases; ++phase) {
      team.each(num_items[phase], [&body, phase](long item) { body(phase, item); });
    }
  });
}

// Threads that work on a region, the caller's included. At first PERFUSE_THREADS, or the cores that
// this process may use. The first call throws std::invalid_argument where PERFUSE_THREADS or
// PERFUSE_SPIN_US cannot be.
int num_threads();
// Throws std::invalid_argument unless 1 <= threads <= 256.
void set_num_threads(int threads);
// Microseconds that an idle thread looks for work before it sleeps; -1: 20, or 0 while more threads
// are runnable than there are cores, for most of a second already.
void set_spin_us(int microseconds);

}  // namespace perfuse
