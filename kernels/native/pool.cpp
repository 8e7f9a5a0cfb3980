#include "pool.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace perfuse {
namespace {

constexpr int kThreadsMax = 256;
constexpr int kPhasesMax = 4;
// A wake-up through the kernel costs 5-50 us in a virtual machine: about what one core needs to
// read this much.
constexpr size_t kSerialBytes = size_t{256} << 10;
constexpr int64_t kSpinDefaultNs = 20'000;
constexpr int64_t kLoadEveryNs = 250'000'000;

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

int cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return 1;
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

struct alignas(64) Slice {
  std::atomic<long> next{0};
  long end = 0;
};

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads), slices_(size_t(threads) * kPhasesMax) {
    for (int index = 1; index < threads; ++index) {
      workers_.emplace_back([this, index] { serve(index); });
    }
  }

  ~Pool() {
    stopping_.store(true, std::memory_order_seq_cst);
    posted_.notify();
    for (std::thread& worker : workers_) worker.join();
  }

  int threads() const { return threads_; }
  void set_spin_ns(int64_t spin_ns) { spin_wanted_ns_.store(spin_ns); }

  bool try_run(const Job& job) {
    if (!owner_.try_lock()) return false;
    adapt();
    for (int phase = 0; phase < job.num_phases; ++phase) {
      const long items = job.num_items[phase];
      for (int t = 0; t < threads_; ++t) {
        Slice& slice = slices_[size_t(phase) * threads_ + t];
        slice.next.store(items * t / threads_, std::memory_order_relaxed);
        slice.end = items * (t + 1) / threads_;
      }
      done_[phase].store(0, std::memory_order_relaxed);
    }
    job_.store(&job, std::memory_order_seq_cst);
    posted_.notify();
    work(job, 0);
    // Nobody enters from here on; those inside hold the job until they leave.
    job_.store(nullptr, std::memory_order_seq_cst);
    left_.wait(barrier_spin_ns(), [this] { return inside_.load(std::memory_order_seq_cst) == 0; });
    owner_.unlock();
    return true;
  }

 private:
  void work(const Job& job, int me) {
    for (int phase = 0; phase < job.num_phases; ++phase) {
      const long items = job.num_items[phase];
      long mine = 0;
      for (int step = 0; step < threads_; ++step) {
        Slice& slice = slices_[size_t(phase) * threads_ + (me + step) % threads_];
        for (;;) {
          const long item = slice.next.fetch_add(1, std::memory_order_relaxed);
          if (item >= slice.end) break;
          job.work(job.context, phase, item);
          ++mine;
        }
      }
      // acq_rel: what the items wrote is seen by all that pass this barrier.
      if (mine && done_[phase].fetch_add(mine, std::memory_order_acq_rel) + mine == items) {
        finished_.notify();
      }
      finished_.wait(barrier_spin_ns(), [this, phase, items] {
        return done_[phase].load(std::memory_order_acquire) == items;
      });
    }
  }

  void serve(int me) {
    uint32_t seen = 0;
    for (;;) {
      posted_.wait(spin_ns_.load(std::memory_order_relaxed), [this, seen] {
        return posted_.word.load(std::memory_order_seq_cst) != seen;
      });
      seen = posted_.word.load(std::memory_order_seq_cst);
      if (stopping_.load(std::memory_order_seq_cst)) return;
      // In before the look at the job: the caller looks the other way round.
      inside_.fetch_add(1, std::memory_order_seq_cst);
      if (const Job* job = job_.load(std::memory_order_seq_cst)) work(*job, me);
      if (inside_.fetch_sub(1, std::memory_order_seq_cst) == 1) left_.notify();
    }
  }

  // Others finish an item within microseconds, unless they were descheduled.
  int64_t barrier_spin_ns() const { return spin_ns_.load(std::memory_order_relaxed); }

  void adapt() {
    const int64_t wanted = spin_wanted_ns_.load(std::memory_order_relaxed);
    if (wanted >= 0) {
      spin_ns_.store(wanted, std::memory_order_relaxed);
      return;
    }
    const int64_t now = now_ns();
    if (now < look_again_ns_) return;
    look_again_ns_ = now + kLoadEveryNs;
    spin_ns_.store(runnable() > cores() ? 0 : kSpinDefaultNs, std::memory_order_relaxed);
  }

  const int threads_;
  std::vector<Slice> slices_;
  std::vector<std::thread> workers_;
  std::mutex owner_;
  Signal posted_, finished_, left_;
  std::atomic<const Job*> job_{nullptr};
  std::atomic<int> inside_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<long> done_[kPhasesMax] = {};
  std::atomic<int64_t> spin_ns_{0};
  std::atomic<int64_t> spin_wanted_ns_{-1};
  int64_t look_again_ns_ = 0;
};

int first_num_threads() {
  const char* text = std::getenv("PERFUSE_THREADS");
  const int wanted = text && *text ? std::atoi(text) : cores();
  return wanted < 1 ? 1 : wanted > kThreadsMax ? kThreadsMax : wanted;
}

// The pool lives as long as the process: workers may sleep in it while statics are destroyed, and a
// child after fork has the object but not its threads, so it starts over. Both leak one small
// object.
struct State {
  std::mutex mutex;
  Pool* pool = nullptr;
  int threads = 0;
  int64_t spin_ns = -1;
};

State*& state() {
  static State* current = [] {
    pthread_atfork(nullptr, nullptr, [] {
      State* fresh = new State;
      fresh->threads = state()->threads;
      fresh->spin_ns = state()->spin_ns;
      state() = fresh;
    });
    State* first = new State;
    const char* spin = std::getenv("PERFUSE_SPIN_US");
    first->spin_ns = spin && *spin ? int64_t{std::atoi(spin)} * 1000 : -1;
    return first;
  }();
  return current;
}

int wanted_threads(State& s) {
  if (s.threads == 0) s.threads = first_num_threads();
  return s.threads;
}

}  // namespace

void run(const Job& job, size_t bytes) {
  if (bytes >= kSerialBytes) {
    State& s = *state();
    Pool* pool = nullptr;
    {
      std::lock_guard<std::mutex> lock(s.mutex);
      if (wanted_threads(s) > 1) {
        if (!s.pool) {
          s.pool = new Pool(s.threads);
          s.pool->set_spin_ns(s.spin_ns);
        }
        pool = s.pool;
      }
    }
    if (pool && pool->try_run(job)) return;
  }
  for (int phase = 0; phase < job.num_phases; ++phase) {
    for (long item = 0; item < job.num_items[phase]; ++item) job.work(job.context, phase, item);
  }
}

int num_threads() {
  State& s = *state();
  std::lock_guard<std::mutex> lock(s.mutex);
  return wanted_threads(s);
}

void set_num_threads(int threads) {
  if (threads < 1 || threads > kThreadsMax) {
    throw std::invalid_argument("threads is " + std::to_string(threads) +
                                "; it must be from 1 to " + std::to_string(kThreadsMax));
  }
  State& s = *state();
  std::lock_guard<std::mutex> lock(s.mutex);
  if (threads == wanted_threads(s)) return;
  // Another thread may be inside run() with the old pool: it is left to sleep, not deleted.
  s.pool = nullptr;
  s.threads = threads;
}

void set_spin_us(int microseconds) {
  State& s = *state();
  std::lock_guard<std::mutex> lock(s.mutex);
  s.spin_ns = microseconds < 0 ? -1 : int64_t{microseconds} * 1000;
  if (s.pool) s.pool->set_spin_ns(s.spin_ns);
}

}  // namespace perfuse
