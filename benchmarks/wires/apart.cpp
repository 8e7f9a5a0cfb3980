// How long a cache line takes to the other processor and back: both spin on it.
#include <pthread.h>
#include <time.h>

#include <atomic>
#include <cstdio>
#include <thread>

namespace {

constexpr int kRounds = 100000;
alignas(64) std::atomic<int> there{0};
alignas(64) std::atomic<int> back{0};

void pin(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

double now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

}  // namespace

int main() {
  std::thread other([] {
    pin(1);
    for (int round = 1; round <= kRounds; ++round) {
      while (there.load() != round) {
      }
      back.store(round);
    }
  });
  pin(0);
  const double begun_ns = now_ns();
  for (int round = 1; round <= kRounds; ++round) {
    there.store(round);
    while (back.load() != round) {
    }
  }
  std::printf("%.0f\n", (now_ns() - begun_ns) / kRounds);
  other.join();
}
