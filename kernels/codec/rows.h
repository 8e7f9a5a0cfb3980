// Rows as messages carry them, one array of all: see rows.cpp.
#pragma once
#include "../native/functions.h"
#include "packed_row.h"

namespace perfuse {

inline long int8_row_bytes(long hidden) {
  return packed_scales_at(hidden) + num_groups(hidden) * 4;
}

Functions row_functions();

}  // namespace perfuse
