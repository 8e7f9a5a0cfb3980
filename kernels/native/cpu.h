// Which instruction sets this processor and its kernel allow, and the one in use.
#pragma once
#include <string>
#include <vector>

#include "table.h"

namespace perfuse {

// Weakest first; the last one is the default.
const std::vector<const Table*>& supported();
// In use: the strongest, the one named by PERFUSE_ISA, or the one last forced.
const Table& kernels();
// Throws std::invalid_argument where this machine lacks it.
void force(const std::string& name);
// Names of the features that matter here, for every line of a benchmark.
std::string cpu_features();

}  // namespace perfuse
