#include "bell.h"

#include <climits>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace perfuse::a2a {

// Not the private kind: the word is in memory that other processes map as well.
void futex_wait(std::atomic<uint32_t>& word, uint32_t seen, int64_t nanoseconds) {
  const timespec time{time_t(nanoseconds / 1'000'000'000), long(nanoseconds % 1'000'000'000)};
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT, seen, &time, nullptr, 0);
}

void wake_loop(Bell& bell, int pipe) {
  uint32_t loop = LOOP;
  if (!bell.sleeper.compare_exchange_strong(loop, NOBODY)) return;
  // A pipe that is full wakes it as well.
  if (pipe >= 0 && write(pipe, "", 1) < 0) return;
}

void futex_wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace perfuse::a2a
