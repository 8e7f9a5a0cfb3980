// The denominators: how fast this machine reads memory, and computes on registers.
#include <algorithm>
#include <atomic>
#include <ctime>

#include "../native/cpu.h"
#include "../native/functions.h"
#include "../native/memory.h"
#include "../native/pool.h"

namespace perfuse {
namespace {

constexpr size_t kItemBytes = size_t{256} << 10;
constexpr long kPeakRounds = 1000;  // of an item: 0.1 to 0.3 ms

class Region : public Owned {
 public:
  explicit Region(size_t bytes) : memory(bytes) {
    // Touched, so that each page is its own memory and not the kernel's one page of zeros.
    for (size_t at = 0; at < bytes; at += 64) memory.data()[at] = char(at >> 6);
  }
  const char* what() const override { return "bandwidth"; }
  const Memory memory;
};

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void create(const Argument* a, Result& result) {
  result.give(new Region(size_t(integer(a[0], "num_bytes", 1, int64_t{1} << 40))));
}

// Nanoseconds to read all of it once, on all threads.
void read(const Argument* a, Result& result) {
  const Memory& memory = owned<Region>(a[0], "bandwidth").memory;
  const Table& table = kernels();
  std::atomic<uint64_t> total{0};
  const long items[] = {long((memory.bytes() + kItemBytes - 1) / kItemBytes)};
  auto body = [&](int, long item) {
    const size_t begin = size_t(item) * kItemBytes;
    total += table.read(memory.data() + begin, std::min(kItemBytes, memory.bytes() - begin));
  };
  const int64_t start = now_ns();
  run_phases(1, items, memory.bytes(), body);
  result.set(std::max(int64_t{1}, now_ns() - start));
}

// Weights that stay in the first cache, and a block of as many rows as there can be. Returns the
// operations done.
double multiply(const Table& table, Kind kind, long steps) {
  constexpr long kUnits = 4 * kGroupUnits;
  alignas(64) static const char weights[128 * (kUnits + 1)] = {};
  alignas(64) static const uint32_t units[kUnits * kBlockRowsMax] = {};
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

// Operations per second (a multiplication and an addition are two) of the largest block's inner
// loop. In items that threads take from each other, as kernels do: where another process has one of
// the cores for a while, both then lose the same.
void peak(const Argument* a, Result& result) {
  if (a[0].type != Argument::TEXT) refuse("kind must be text");
  const std::string name = a[0].text;
  const char* const names[] = {"fp32", "bf16", "int8", "int4"};
  int kind = 0;
  while (kind < NUM_KINDS && name != names[kind]) ++kind;
  if (kind == NUM_KINDS) refuse("kind is '" + name + "'; it must be fp32, bf16, int8 or int4");
  const long rounds = integer(a[1], "rounds", 1, int64_t{1} << 32);  // of 32 k units
  const Table& table = kernels();
  const long items = (rounds + kPeakRounds - 1) / kPeakRounds * num_threads();
  std::vector<double> done(size_t(items), 0.0);
  const int64_t start = now_ns();
  together(size_t{1} << 30, [&](Team& team) {
    const Multiplying multiplying;
    team.each(items, [&](long item) {
      const long steps = std::max(1L, std::min(rounds, kPeakRounds) / 4);
      done[size_t(item)] = multiply(table, Kind(kind), steps);
    });
  });
  const double seconds = double(std::max(int64_t{1}, now_ns() - start)) * 1e-9;
  double operations = 0;
  for (double part : done) operations += part;
  result.set(operations / seconds);
}

}  // namespace

Functions bandwidth_functions() {
  return {{"bandwidth_create", create, 1, false},
          {"bandwidth_read", read, 1, false},
          {"bandwidth_peak", peak, 2, false}};
}

}  // namespace perfuse
