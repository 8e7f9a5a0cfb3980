// Waiting until others have written: look for a while, then sleep on a futex that processes share.
// An event loop cannot: it watches a pipe, and says when it wants a byte in it.
// Where there are more ranks than processors nobody looks: whoever waits gives its processor to the
// others first, which is cheaper than to be woken by them.
//
// Who waits says how many messages are missing; senders ring, and only the ring that may complete
// them pays for a system call. A sender that finds nobody asleep does not ring at all.
#pragma once
#include <sched.h>

#include <ctime>

#include "layout.h"

namespace perfuse::a2a {

void futex_wait(std::atomic<uint32_t>& word, uint32_t seen, int64_t nanoseconds);
void futex_wake(std::atomic<uint32_t>& word);

inline int64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Of all who ring a loop one writes.
void wake_loop(Bell& bell, int pipe);

// After a full fence behind what was written. pipe: of the bell's rank, -1 where it has none.
inline void ring(Bell& bell, int pipe) {
  const uint32_t sleeper = bell.sleeper.load(std::memory_order_relaxed);
  if (sleeper == NOBODY) return;
  const uint32_t rings = bell.rings.fetch_add(1) + 1;
  if (int32_t(rings - bell.wake_at.load()) < 0) return;
  if (sleeper == LOOP) {
    wake_loop(bell, pipe);
  } else {
    futex_wake(bell.rings);
  }
}

// Whoever sleeps looks again, whatever it waits for.
inline void ring_always(Bell& bell, int pipe) {
  bell.rings.fetch_add(1);
  futex_wake(bell.rings);
  wake_loop(bell, pipe);
}

// Whether to give the processor away before sleeping. Four ranks on two processors, a round of 17
// KB a pair and way: 155 us without, 85 with one yield, 80 with three, and no better with 8 or 30.
// But where others want the processor as well, they keep it for milliseconds, and who slept would
// have been woken before they are through: the mean was 300 us without and 950 with. So a yield
// that was long is followed by waits without any, by more each time: 315.
class Yields {
 public:
  static constexpr int kMost = 3;
  static constexpr int64_t kLongNs = 500'000;

  bool allowed() {
    if (without_ == 0) return true;
    --without_;
    return false;
  }
  void took(int64_t ns) {
    if (ns < kLongNs) {
      penalty_ = penalty_ > kPenaltyMin ? penalty_ - 1 : kPenaltyMin;
    } else {
      penalty_ = penalty_ < kPenaltyMax ? 2 * penalty_ : kPenaltyMax;
      without_ = penalty_;
    }
  }

 private:
  static constexpr int kPenaltyMin = 32, kPenaltyMax = 8192;
  int without_ = 0, penalty_ = kPenaltyMin;
};

// Returns when missing() is 0 or less, or at until_ns. One thread a bell. missing() may be called
// any number of times; `awake` after each sleep, before it.
template <class Missing, class Awake>
void wait(Bell& bell, Yields& yields, int64_t spin_ns, int64_t until_ns, Missing missing,
          Awake awake) {
  if (missing() <= 0) return;
  const int64_t start = now_ns();
  if (until_ns <= start) return;
  for (const int64_t end = start + spin_ns; now_ns() < end;) {
    for (int i = 0; i < 16; ++i) {
      pause_cpu();
      if (missing() <= 0) return;
    }
  }
  for (int i = 0; spin_ns == 0 && i < Yields::kMost && yields.allowed(); ++i) {
    const int64_t before = now_ns();
    sched_yield();
    yields.took(now_ns() - before);
    if (missing() <= 0) return;
  }
  for (int64_t now = now_ns(); now < until_ns; now = now_ns()) {
    const uint32_t seen = bell.rings.load();
    bell.wake_at.store(seen + 1);
    bell.sleeper.store(THREAD);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    // What is not seen from here on rings: its sender sees the sleeper.
    const int count = missing();
    if (count > 0) {
      bell.wake_at.store(seen + uint32_t(count));
      futex_wait(bell.rings, seen, until_ns - now);
    }
    bell.sleeper.store(NOBODY);
    if (count <= 0) return;
    awake();
    if (missing() <= 0) return;
  }
}

// For an event loop: what is missing. If that is anything, its pipe has a byte once as many have
// rung.
template <class Missing>
int sleep_in_loop(Bell& bell, Missing missing) {
  const uint32_t seen = bell.rings.load();
  bell.wake_at.store(seen + 1);
  bell.sleeper.store(LOOP);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const int count = missing();
  if (count > 0) {
    bell.wake_at.store(seen + uint32_t(count));
  } else {
    bell.sleeper.store(NOBODY);
  }
  return count;
}

}  // namespace perfuse::a2a
