// The unit of rates, as in workers/hardware/sharing/hops.py.
#pragma once
#include "paths.h"

namespace perfuse {

constexpr Int kGrains = 144'403'552'893'600;         // the least number that 1 .. 32 divide
constexpr Int kUnit = 1'000'000'000 * kGrains;       // grains of a unit
constexpr Int kRounding = 1 << 12;                   // shares that differ by no more are one
constexpr int64_t kRateMax = 1'000'000'000'000'000;  // units a second: 97 bits in grains
constexpr int64_t kNsMax = int64_t{1} << 62;         // what ends later, ends then
constexpr int64_t kRankMax = 64;
constexpr int64_t kAmountMax = (int64_t{1} << 48) - 1;

// a / b, b > 0.
inline Int rounded_up(Int a, Int b) {
  const Int whole = a / b;
  return whole + (a > whole * b);
}

}  // namespace perfuse
