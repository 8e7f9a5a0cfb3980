// Which instruction sets this processor and its kernel allow, and the one in use.
#pragma once
#include <string>
#include <vector>

#include "table.h"

namespace perfuse {

// Slowest first; the last one is the default. The emulation of tiles comes before all others: it is
// for tests and never the default.
const std::vector<const Table*>& supported();
// In use: the strongest, the one named by PERFUSE_ISA, or the one last forced.
const Table& kernels();
// Held by each thread of a region that multiplies, from the region's start to its end: products set
// up what they need (tiles) and leave it for the next one; here it is given back.
class Multiplying {
 public:
  Multiplying() : table_(kernels()) {}
  ~Multiplying() {
    if (table_.release) table_.release();
  }
  Multiplying(const Multiplying&) = delete;
  Multiplying& operator=(const Multiplying&) = delete;

 private:
  const Table& table_;
};
// Throws std::invalid_argument where this machine lacks it; says what it lacks.
void force(const std::string& name);
// Names of the features that matter here, for every line of a benchmark.
std::string cpu_features();

}  // namespace perfuse
