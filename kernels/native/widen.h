// Units of 4 bytes as two words each, where products take a unit's channels wider than they are.
// Without a name outside: each translation unit compiles them for its own instruction set.
#pragma once
#include <cstdint>

namespace perfuse {
namespace {

// Of bf16, both channels as fp32.
inline void widen_bf16(const uint32_t* units, long count, uint32_t* out) {
  for (long u = 0; u < count; ++u) {
    out[2 * u] = units[u] << 16;
    out[2 * u + 1] = units[u] & 0xffff0000u;
  }
}

// Of int8, channels 0 and 2, and 1 and 3, as pairs of 16 bits.
inline void widen_int8(const uint32_t* units, long count, uint32_t* out) {
  const auto byte = [](uint32_t unit, int i) {
    return uint32_t(int32_t(unit << (24 - 8 * i)) >> 24);
  };
  for (long u = 0; u < count; ++u) {
    const uint32_t unit = units[u];
    out[2 * u] = (byte(unit, 0) & 0xffff) | byte(unit, 2) << 16;
    out[2 * u + 1] = (byte(unit, 1) & 0xffff) | byte(unit, 3) << 16;
  }
}

}  // namespace
}  // namespace perfuse
