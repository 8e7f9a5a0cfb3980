// Threads that wait for work: the caller works too, nobody spins where processes outnumber cores.
#pragma once
#include <cstddef>

namespace perfuse {

// A job is a few phases of independent items. A phase begins when all items of the one before are
// done. Each thread walks its own contiguous slice of a phase, then helps with the others' slices.
struct Job {
  void (*work)(void* context, int phase, long item);
  void* context;
  int num_phases;
  long num_items[4];
};

// Runs the job; returns when it is done. Serial where `bytes`, what the job will read, is small,
// where the pool has one thread, or while another caller has the pool.
void run(const Job& job, size_t bytes);

template <class F>
void run_phases(int num_phases, const long* num_items, size_t bytes, F& body) {
  Job job{[](void* context, int phase, long item) { (*static_cast<F*>(context))(phase, item); },
          &body, num_phases, {0, 0, 0, 0}};
  for (int phase = 0; phase < num_phases; ++phase) job.num_items[phase] = num_items[phase];
  run(job, bytes);
}

// Threads that work on a job, the caller's included. At first PERFUSE_THREADS, or the cores that
// this process may use.
int num_threads();
// Throws std::invalid_argument unless 1 <= threads <= 256.
void set_num_threads(int threads);
// Microseconds that an idle thread looks for work before it sleeps; -1: 20, or 0 whenever more
// threads are runnable than there are cores.
void set_spin_us(int microseconds);

}  // namespace perfuse
