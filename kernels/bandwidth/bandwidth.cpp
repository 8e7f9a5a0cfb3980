// The denominators: how fast this machine reads memory, and computes on registers.
#include <algorithm>
#include <atomic>
#include <ctime>
#include <mutex>

#include "../native/cpu.h"
#include "../native/functions.h"
#include "../native/memory.h"
#include "../native/panels.h"
#include "../native/pool.h"

namespace perfuse {
namespace {

constexpr size_t kItemBytes = size_t{256} << 10;
// Of a trial of the ways to read: beyond what caches hold, and short.
constexpr size_t kTrialBytes = size_t{128} << 20;
constexpr int kTrialRounds = 5;
constexpr long kRoundsMax = long{1} << 32;
// Of an item: 0.1 to 0.3 ms.
constexpr long kPeakRounds = 4000, kLoopRounds = 1000;

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

class Region : public Owned {
 public:
  explicit Region(size_t bytes) : memory_(bytes) {
    // Touched, so that each page is its own memory and not the kernel's one page of zeros.
    for (size_t at = 0; at < bytes; at += 64) memory_.data()[at] = char(at >> 6);
  }
  const char* what() const override { return "bandwidth"; }
  // Nanoseconds to read all of it once, on all threads, in the way that is the fastest for them.
  int64_t read_ns() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (threads_ != num_threads()) {
      threads_ = num_threads();
      way_ = fastest_way();
    }
    return pass_ns(way_, memory_.bytes());
  }

 private:
  int64_t pass_ns(int way, size_t bytes) const {
    const auto read = kernels().read[way];
    std::atomic<uint64_t> total{0};
    const long items[] = {long((bytes + kItemBytes - 1) / kItemBytes)};
    auto body = [&](int, long item) {
      const size_t begin = size_t(item) * kItemBytes;
      total += read(memory_.data() + begin, std::min(kItemBytes, bytes - begin));
    };
    const int64_t start = now_ns();
    run_phases(1, items, bytes, body);
    return std::max(int64_t{1}, now_ns() - start);
  }
  // By medians of passes in turn: what else runs here meanwhile slows all of them.
  int fastest_way() const {
    const size_t bytes = std::min(kTrialBytes, memory_.bytes());
    int64_t times[kReadWays][kTrialRounds];
    for (int round = 0; round < kTrialRounds; ++round) {
      for (int way = 0; way < kReadWays; ++way) times[way][round] = pass_ns(way, bytes);
    }
    int best = 0;
    for (int way = 0; way < kReadWays; ++way) {
      std::sort(times[way], times[way] + kTrialRounds);
      if (times[way][kTrialRounds / 2] < times[best][kTrialRounds / 2]) best = way;
    }
    return best;
  }

  const Memory memory_;
  std::mutex mutex_;
  int threads_ = 0, way_ = 0;
};

void create(const Argument* a, Result& result) {
  result.give(new Region(size_t(integer(a[0], "num_bytes", 1, int64_t{1} << 40))));
}

void read(const Argument* a, Result& result) {
  result.set(owned<Region>(a[0], "bandwidth").read_ns());
}

// Weights that stay in the first cache, and a block of as many rows as there can be. Returns the
// operations done.
double multiply(const Table& table, Kind kind, long steps) {
  constexpr long kUnits = 4 * kGroupUnits;
  alignas(64) static const char weights[128 * (kUnits + 1)] = {};
  alignas(64) static const uint32_t units[2 * kUnits * kBlockRowsMax] = {};
  static const float scales[kUnits / kGroupUnits * kBlockRowsMax] = {};
  static const int32_t sums[kUnits / kGroupUnits * kBlockRowsMax] = {};
  alignas(64) float out[kBlockRowsMax * kColumns];
  const Block block{units, scales, sums, table.rows_max[kind]};
  const Ahead ahead{weights, 0, 0, weights};
  const Gemm gemm = table.gemm[kind][block.rows];
  for (long step = 0; step < steps; ++step) {
    gemm(weights, &block, kUnits, kGroupUnits, out, ahead);
  }
  const int channels[] = {1, 2, 4, 4};
  return 2.0 * double(steps * kUnits) * channels[kind] * block.rows * kColumns;
}

Kind kind_of(const Argument& argument) {
  if (argument.type != Argument::TEXT) refuse("kind must be text");
  return kind_named(argument);
}

// Operations per second (a multiplication and an addition are two) of work(steps), which returns
// how many it did; an item has `item_steps` steps at most. In items that threads take from each
// other, as kernels do: where another process has one of the cores for a while, both then lose the
// same.
template <class Work>
double rate_of(long steps, long item_steps, const Work& work) {
  const long items = (steps + item_steps - 1) / item_steps * num_threads();
  std::vector<double> done(size_t(items), 0.0);
  const int64_t start = now_ns();
  together(size_t{1} << 30, [&](Team& team) {
    const Multiplying multiplying;
    team.each(items, [&](long item) { done[size_t(item)] = work(std::min(steps, item_steps)); });
  });
  const double seconds = double(std::max(int64_t{1}, now_ns() - start)) * 1e-9;
  double operations = 0;
  for (double part : done) operations += part;
  return operations / seconds;
}

// Of multiply-adds on registers.
void peak(const Argument* a, Result& result) {
  const Kind kind = kind_of(a[0]);
  const long rounds = integer(a[1], "rounds", 1, kRoundsMax);
  result.set(rate_of(rounds, kPeakRounds, kernels().peak[kind]));
}

// Of the largest block's inner loop.
void inner_loop(const Argument* a, Result& result) {
  const Kind kind = kind_of(a[0]);
  const long rounds = integer(a[1], "rounds", 1, kRoundsMax);  // of 32 k units
  const Table& table = kernels();
  result.set(rate_of((rounds + 3) / 4, kLoopRounds / 4,
                     [&](long steps) { return multiply(table, kind, steps); }));
}

}  // namespace

Functions bandwidth_functions() {
  return {{"bandwidth_create", create, 1, false},
          {"bandwidth_read", read, 1, false},
          {"bandwidth_peak", peak, 2, false},
          {"bandwidth_inner_loop", inner_loop, 2, false}};
}

}  // namespace perfuse
