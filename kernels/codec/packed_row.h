// One row as the dispatch codec packs it: int8 codes, then a float32 scale for each 128 channels
// from the next multiple of 4 bytes on, up to a multiple of 64 bytes.
#pragma once
#include <cstdint>

#include "../native/panels.h"

namespace perfuse {

inline long packed_scales_at(long hidden) { return (hidden + 3) / 4 * 4; }

inline long packed_row_bytes(long hidden) {
  return (packed_scales_at(hidden) + num_groups(hidden) * 4 + 63) / 64 * 64;
}

struct PackedRow {
  int8_t* codes;
  float* scales;

  static PackedRow at(char* data, long hidden) {
    return {reinterpret_cast<int8_t*>(data),
            reinterpret_cast<float*>(data + packed_scales_at(hidden))};
  }
};

}  // namespace perfuse
