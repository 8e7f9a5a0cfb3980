#include "pool.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace perfuse {
namespace {

constexpr int kThreadsMax = 256;
// A wake-up through the kernel costs 5-50 us in a virtual machine: about what one core needs to
// read this much.
constexpr size_t kSerialBytes = size_t{256} << 10;
constexpr int64_t kSpinDefaultNs = 20'000;
// A run is at most this part of what is left of a slice: the last are single items, and nobody
// waits long for the last.
constexpr long kRunsLeft = 4;
constexpr int64_t kLoadEveryNs = 250'000'000;
// Some other thread runs for a moment on any machine: one look in twenty-five saw one on an idle
// one, and a call of five barriers that sleeps at each takes twice as long.
constexpr int kBusyLooks = 3;

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

void futex_wait(std::atomic<uint32_t>& word, uint32_t value) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, value, nullptr,
          nullptr, 0);
}

void futex_wake_all(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr,
          nullptr, 0);
}

// Those that this thread may run on; none where that cannot be told.
cpu_set_t allowed_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) CPU_ZERO(&set);
  return set;
}

int cores() {
  const cpu_set_t set = allowed_cpus();
  return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

// Fourth field of /proc/loadavg: "running/total". 0 where it cannot be read.
int runnable() {
  char text[64] = {};
  const int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t size = read(file, text, sizeof text - 1);
  close(file);
  int running = 0;
  if (size <= 0 || sscanf(text, "%*f %*f %*f %d/", &running) != 1) return 0;
  return running;
}

// A word that changes, and whether anybody sleeps on it: a waker pays for the system call only
// then.
struct alignas(64) Signal {
  std::atomic<uint32_t> word{0};
  std::atomic<uint32_t> sleepers{0};

  void notify() {
    word.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst)) futex_wake_all(word);
  }
  // Returns when ready() holds; whoever makes it hold calls notify() afterwards.
  template <class Ready>
  void wait(int64_t spin_ns, Ready ready) {
    if (ready()) return;
    if (spin_ns > 0) {
      const int64_t end = now_ns() + spin_ns;
      do {
        for (int i = 0; i < 16; ++i) {
          pause_cpu();
          if (ready()) return;
        }
      } while (now_ns() < end);
    }
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    for (;;) {
      const uint32_t seen = word.load(std::memory_order_seq_cst);
      if (ready()) break;
      futex_wait(word, seen);
    }
    sleepers.fetch_sub(1, std::memory_order_seq_cst);
  }
};

// Both words hold a phase's number and a count, so that none needs to be cleared: a word of an
// earlier phase counts as zero, one of a later phase says that this one is over. Numbers start over
// between two regions, long before they need more bits than are left: some months of small phases.
constexpr int kCountBits = 24;
constexpr uint64_t kCountMask = (uint64_t{1} << kCountBits) - 1;
constexpr uint64_t kPhasesMax = uint64_t{1} << (63 - kCountBits);

struct alignas(64) Word {
  std::atomic<uint64_t> value{0};
};

}  // namespace

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads), taken_(size_t(threads)) {
    workers_.reserve(size_t(threads));
    try {
      for (int index = 1; index < threads; ++index) {
        workers_.emplace_back([this, index] { serve(index); });
      }
    } catch (const std::system_error&) {
      // No more threads are to be had. What is theirs the others do: nobody waits for a thread.
    }
  }

  void set_spin_ns(int64_t spin_ns) { spin_wanted_ns_.store(spin_ns); }

  bool try_run(const Region& region) {
    if (!owner_.try_lock()) return false;
    adapt();
    keep_workers_off(spin_ns() > 0 ? sched_getcpu() : kAnywhere);
    region_.store(&region, std::memory_order_seq_cst);
    posted_.notify();
    const uint64_t last = work(region, 0);
    // Nobody enters from here on; those inside hold the region until they leave.
    region_.store(nullptr, std::memory_order_seq_cst);
    left_.wait(spin_ns(), [this] { return inside_.load(std::memory_order_seq_cst) == 0; });
    if (last >= kPhasesMax) {
      for (Word& word : taken_) word.value.store(0, std::memory_order_relaxed);
      done_.value.store(0, std::memory_order_relaxed);
    }
    first_phase_.store(last < kPhasesMax ? last : 0, std::memory_order_seq_cst);
    owner_.unlock();
    return true;
  }

  // Items taken of a slice so far, by phase; items done, by phase.
  std::atomic<uint64_t>& taken(int slice) { return taken_[size_t(slice)].value; }
  std::atomic<uint64_t>& done() { return done_.value; }
  void announce() { finished_.notify(); }

  void wait_for(uint64_t phase, long count) {
    const uint64_t wanted = phase << kCountBits | uint64_t(count);
    finished_.wait(spin_ns(), [this, wanted] {
      return done_.value.load(std::memory_order_seq_cst) >= wanted;
    });
  }

 private:
  uint64_t work(const Region& region, int me) {
    Team team;
    team.pool_ = this;
    team.phase_ = first_phase_.load(std::memory_order_seq_cst);
    team.thread_ = me;
    team.threads_ = threads_;
    region.body(region.context, team);
    return team.phase_;
  }

  void serve(int me) {
    uint32_t seen = 0;
    for (;;) {
      posted_.wait(spin_ns(), [this, seen] {
        return posted_.word.load(std::memory_order_seq_cst) != seen;
      });
      seen = posted_.word.load(std::memory_order_seq_cst);
      // In before the look at the region: the caller looks the other way round.
      inside_.fetch_add(1, std::memory_order_seq_cst);
      if (const Region* region = region_.load(std::memory_order_seq_cst)) work(*region, me);
      if (inside_.fetch_sub(1, std::memory_order_seq_cst) == 1) left_.notify();
    }
  }

  // At a barrier as well: others finish an item within microseconds, unless descheduled.
  int64_t spin_ns() const { return spin_ns_.load(std::memory_order_relaxed); }

  void adapt() {
    const int64_t wanted = spin_wanted_ns_.load(std::memory_order_relaxed);
    if (wanted >= 0) {
      spin_ns_.store(wanted, std::memory_order_relaxed);
      return;
    }
    const int64_t now = now_ns();
    if (now < look_again_ns_) return;
    look_again_ns_ = now + kLoadEveryNs;
    busy_looks_ = runnable() > cores() ? busy_looks_ + 1 : 0;
    spin_ns_.store(busy_looks_ < kBusyLooks ? kSpinDefaultNs : 0, std::memory_order_relaxed);
  }

  // A woken thread is put where it slept last, or, by kernels that pack virtual CPUs, onto its
  // waker's: there it waits for a time slice, 0.6 to 1.2 ms in some steps. So workers stay off the
  // CPU from which the caller calls, unless the machine is loaded: then the kernel knows better.
  void keep_workers_off(int cpu) {
    if (cpu == avoided_) return;
    avoided_ = cpu;
    // Asked anew: it may have been changed since the pool began (taskset -a). A caller on one CPU
    // alone does not take the workers there.
    cpu_set_t set = allowed_cpus();
    if (CPU_COUNT(&set) < 2) return;
    if (cpu >= 0) CPU_CLR(cpu, &set);
    for (std::thread& worker : workers_) {
      pthread_setaffinity_np(worker.native_handle(), sizeof set, &set);
    }
  }

  static constexpr int kAnywhere = -1;
  const int threads_;
  std::vector<Word> taken_;
  int avoided_ = kAnywhere;
  Word done_;
  std::vector<std::thread> workers_;
  std::mutex owner_;
  Signal posted_, finished_, left_;
  std::atomic<const Region*> region_{nullptr};
  std::atomic<int> inside_{0};
  std::atomic<uint64_t> first_phase_{0};
  std::atomic<int64_t> spin_ns_{0};
  std::atomic<int64_t> spin_wanted_ns_{-1};
  int64_t look_again_ns_ = 0;
  int busy_looks_ = 0;
};

bool Team::enter() {
  ++phase_;
  // The caller's reads of what the count depends on come before this look (see the rule in
  // pool.h).
  std::atomic_thread_fence(std::memory_order_acq_rel);
  return pool_->done().load(std::memory_order_acquire) >> kCountBits <= phase_;
}

Team::Run Team::take(int slice, long count, long run_max) {
  const long begin = (count * slice + threads_ - 1) / threads_;
  const long size = (count * (slice + 1) + threads_ - 1) / threads_ - begin;
  std::atomic<uint64_t>& word = pool_->taken(slice);
  uint64_t seen = word.load(std::memory_order_relaxed);
  for (;;) {
    if (seen >> kCountBits > phase_) return {0, 0};
    const long taken = seen >> kCountBits == phase_ ? long(seen & kCountMask) : 0;
    if (taken >= size) return {0, 0};
    const long run = std::clamp((size - taken) / kRunsLeft, long{1}, run_max);
    const uint64_t next = phase_ << kCountBits | uint64_t(taken + run);
    if (word.compare_exchange_weak(seen, next, std::memory_order_relaxed)) {
      return {begin + taken, begin + taken + run};
    }
  }
}

void Team::leave(long count, long mine) {
  if (mine) {
    std::atomic<uint64_t>& word = pool_->done();
    uint64_t seen = word.load(std::memory_order_relaxed), next;
    do {
      next = (seen >> kCountBits == phase_ ? seen : phase_ << kCountBits) + uint64_t(mine);
      // Release: what the items wrote is seen by all that pass this barrier.
    } while (!word.compare_exchange_weak(seen, next, std::memory_order_acq_rel));
    if (long(next & kCountMask) == count) pool_->announce();
  }
  if (count > 0) pool_->wait_for(phase_, count);
}

namespace {

// A whole number from the environment; `otherwise` where there is none.
int from_environment(const char* name, int least, int most, int otherwise) {
  const char* text = std::getenv(name);
  if (!text || !*text) return otherwise;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*end || value < least || value > most) {
    throw std::invalid_argument(std::string(name) + " is '" + text + "'; it must be from " +
                                std::to_string(least) + " to " + std::to_string(most));
  }
  return int(value);
}

// Pools live as long as the process: workers may sleep in them while statics are destroyed, and a
// child after fork has the objects but not their threads, so it starts over. Both leak them. There
// is one for each number of threads that was ever asked for.
struct State {
  std::mutex mutex;
  Pool* pools[kThreadsMax + 1] = {};
  int threads = 1;
  int64_t spin_ns = -1;
};

State*& state() {
  static State* current = [] {
    const int few = std::min(cores(), kThreadsMax);
    const int threads = from_environment("PERFUSE_THREADS", 1, kThreadsMax, few);
    const int spin_us = from_environment("PERFUSE_SPIN_US", -1, 1'000'000, -1);
    pthread_atfork(nullptr, nullptr, [] {
      State* fresh = new State;
      fresh->threads = state()->threads;
      fresh->spin_ns = state()->spin_ns;
      state() = fresh;
    });
    State* first = new State;
    first->threads = threads;
    first->spin_ns = spin_us < 0 ? -1 : int64_t{spin_us} * 1000;
    return first;
  }();
  return current;
}

}  // namespace

void Region::run(size_t bytes) const {
  if (bytes >= kSerialBytes) {
    State& s = *state();
    Pool* pool = nullptr;
    {
      std::lock_guard<std::mutex> lock(s.mutex);
      if (s.threads > 1) {
        Pool*& held = s.pools[s.threads];
        if (!held) {
          held = new Pool(s.threads);
          held->set_spin_ns(s.spin_ns);
        }
        pool = held;
      }
    }
    if (pool && pool->try_run(*this)) return;
  }
  Team alone;
  body(context, alone);
}

int num_threads() {
  State& s = *state();
  std::lock_guard<std::mutex> lock(s.mutex);
  return s.threads;
}

void set_num_threads(int threads) {
  if (threads < 1 || threads > kThreadsMax) {
    throw std::invalid_argument("threads is " + std::to_string(threads) +
                                "; it must be from 1 to " + std::to_string(kThreadsMax));
  }
  State& s = *state();
  std::lock_guard<std::mutex> lock(s.mutex);
  // Another thread may be inside a region with the old pool: it is left to sleep, not deleted.
  s.threads = threads;
}

void set_spin_us(int microseconds) {
  State& s = *state();
  std::lock_guard<std::mutex> lock(s.mutex);
  s.spin_ns = microseconds < 0 ? -1 : int64_t{microseconds} * 1000;
  for (Pool* pool : s.pools) {
    if (pool) pool->set_spin_ns(s.spin_ns);
  }
}

}  // namespace perfuse
