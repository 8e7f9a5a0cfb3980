#include "functions.h"

#include "cpu.h"
#include "pool.h"

namespace perfuse {
namespace {

void isa(const Argument*, Result& result) { result.set(std::string(kernels().name)); }

void isas(const Argument*, Result& result) {
  std::string names;
  for (const Table* table : supported()) {
    names += (names.empty() ? "" : " ") + std::string(table->name);
  }
  result.set(names);
}

void force_isa(const Argument* a, Result&) {
  if (a[0].type != Argument::TEXT) refuse("the name of an instruction set must be text");
  force(a[0].text);
}

void features(const Argument*, Result& result) { result.set(cpu_features()); }

void threads(const Argument*, Result& result) { result.set(int64_t{num_threads()}); }

void set_threads(const Argument* a, Result&) {
  set_num_threads(int(integer(a[0], "threads", 1, 256)));
}

void set_spin(const Argument* a, Result&) {
  set_spin_us(int(integer(a[0], "spin_us", -1, 1'000'000)));
}

// For the cost of a call: takes what a step's call takes, does nothing.
void nothing(const Argument*, Result&) {}

Functions collect() {
  Functions all = {
      {"isa", isa, 0, true},
      {"isas", isas, 0, true},
      {"force_isa", force_isa, 1, true},
      {"cpu_features", features, 0, true},
      {"num_threads", threads, 0, true},
      {"set_num_threads", set_threads, 1, false},
      {"set_spin_us", set_spin, 1, true},
      {"nothing", nothing, 4, false},
  };
  for (const Functions& more :
       {all_to_all_functions(), attention_functions(), bandwidth_functions(), codec_functions(),
        decoder_functions(), exchange_functions(), fold_functions(), linear_functions(),
        mla_functions(), moe_functions(), paged_functions(), paths_functions(), ring_functions(),
        sampling_functions(), scan_functions()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

}  // namespace

const Functions& functions() {
  static const Functions all = collect();
  return all;
}

}  // namespace perfuse
