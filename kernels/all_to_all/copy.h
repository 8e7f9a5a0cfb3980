// Copies of rows between memory that different processors write and read.
#pragma once
#include <cstring>

namespace perfuse::a2a {

constexpr long kLineBytes = 64;
constexpr long kAheadBytes = 1024;

inline void ask_to_read(const char* at) { __builtin_prefetch(at); }

inline void ask_to_write(const char* at) {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*at));  // nothing where the processor does not know it
#else
  __builtin_prefetch(at, 1);
#endif
}

// Whole lines. Another processor has the old ones, or wrote the new ones: both ends are asked for
// ahead, so that many are on their way at once.
inline void copy_lines(char* to, const char* from, long bytes) {
  for (long at = 0; at < bytes; at += kLineBytes) {
    ask_to_read(from + at + kAheadBytes);
    ask_to_write(to + at + kAheadBytes);
    std::memcpy(to + at, from + at, kLineBytes);
  }
}

}  // namespace perfuse::a2a
