// Whether a rank is listened to.
#pragma once
#include <atomic>

namespace perfuse::a2a {

enum class Life : int { LIVING = 0, DEAD = 1, CUT_OFF = 2 };

// What ended it first stays.
inline void lose(std::atomic<Life>& life, Life why) {
  Life living = Life::LIVING;
  life.compare_exchange_strong(living, why);
}

}  // namespace perfuse::a2a
