#include "cpu.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <utility>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace perfuse {
namespace {

struct Features {
  bool avx2 = false, fma = false, avx512 = false, vnni = false, bf16 = false;
  bool amx_tile = false, amx_bf16 = false, amx_int8 = false;
};

// A processor may have what its kernel does not save at a context switch: both must agree.
Features detect() {
  Features f;
#if defined(__x86_64__)
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return f;
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const bool ymm = (low & 0x6) == 0x6, zmm = (low & 0xe6) == 0xe6;
  const bool tiles = (low >> 17 & 3) == 3;
  f.fma = ymm && (c >> 12 & 1) && (c >> 29 & 1);  // with F16C, as all processors with FMA have
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  f.avx2 = ymm && (b >> 5 & 1);
  f.avx512 = zmm && (b >> 16 & 1) && (b >> 17 & 1) && (b >> 30 & 1) && (b >> 31 & 1);
  f.vnni = zmm && (c >> 11 & 1);
  f.amx_bf16 = tiles && (d >> 22 & 1);
  f.amx_tile = tiles && (d >> 24 & 1);
  f.amx_int8 = tiles && (d >> 25 & 1);
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) f.bf16 = zmm && (a >> 5 & 1);
#endif
  return f;
}

// Linux gives a process tiles only where it asks, once, for all threads that it has or will have
// (Documentation/arch/x86/xstate.rst; kernels before 5.16 do not know the question).
bool may_use_tiles() {
#if defined(__linux__) && defined(__x86_64__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}

// What keeps tiles from being used here, "" where nothing does.
std::string amx_lacks() {
#if defined(PERFUSE_AMX_TRAPS)
  return "";  // another carries its instructions out: see check.py
#endif
  const Features f = detect();
  const std::pair<bool, const char*> needed[] = {
      {f.avx2 && f.fma && f.avx512 && f.vnni && f.bf16, "AVX-512 with VNNI and BF16"},
      {f.amx_tile, "amx_tile"},
      {f.amx_bf16, "amx_bf16"},
      {f.amx_int8, "amx_int8"}};
  std::string lacks;
  for (const auto& [has, name] : needed) {
    if (!has) lacks += (lacks.empty() ? "" : ", ") + std::string(name);
  }
  if (lacks.empty() && !may_use_tiles()) lacks = "the kernel's permission to use tiles";
  return lacks;
}

std::vector<const Table*> find() {
  std::vector<const Table*> found{&table_amx_emulated(), &table_portable()};
#if defined(__x86_64__)
  const Features f = detect();
  if (f.avx2 && f.fma) found.push_back(&table_avx2());
  if (f.avx2 && f.fma && f.avx512 && f.vnni) {
    found.push_back(&table_avx512());
    if (f.bf16) found.push_back(&table_avx512_bf16());
  }
  if (amx_lacks().empty()) found.push_back(&table_amx());
#endif
  return found;
}

const Table* named(const std::string& name) {
  std::string names;
  for (const Table* table : supported()) {
    if (name == table->name) return table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  const std::string lacks = name == "amx" ? " (it lacks " + amx_lacks() + ")" : "";
  throw std::invalid_argument("instruction set '" + name + "' is not one that this machine has" +
                              lacks + ": " + names);
}

std::atomic<const Table*>& current() {
  static std::atomic<const Table*> table{[] {
    const char* name = std::getenv("PERFUSE_ISA");
    return name && *name ? named(name) : supported().back();
  }()};
  return table;
}

}  // namespace

const std::vector<const Table*>& supported() {
  static const std::vector<const Table*> found = find();
  return found;
}

const Table& kernels() { return *current().load(std::memory_order_relaxed); }

void force(const std::string& name) { current().store(named(name)); }

std::string cpu_features() {
  const Features f = detect();
  std::string text;
  const auto add = [&](bool has, const char* name) {
    if (has) text += (text.empty() ? "" : " ") + std::string(name);
  };
  add(f.avx2, "avx2");
  add(f.fma, "fma");
  add(f.avx512, "avx512f/dq/bw/vl");
  add(f.vnni, "avx512_vnni");
  add(f.bf16, "avx512_bf16");
  add(f.amx_tile, "amx_tile");
  add(f.amx_bf16, "amx_bf16");
  add(f.amx_int8, "amx_int8");
  return text;
}

}  // namespace perfuse
