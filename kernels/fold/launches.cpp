// How long a shard's launch takes.
#include <algorithm>
#include <cmath>

#include "fold.h"

namespace perfuse::fold {
namespace {

constexpr int64_t kLaunchMax = int64_t{1} << 50;
constexpr int64_t kKnownMax = 1 << 16;  // counts whose times are kept

// -int(-amount // rate) of Python, for a rate that is no integer.
int64_t rounded_up(double amount, double rate) {
  const double left = std::fmod(-amount, rate);
  double whole = (-amount - left) / rate;
  if (left != 0 && left < 0) whole -= 1;
  double floored = std::floor(whole);
  if (whole - floored > 0.5) floored += 1;
  return -floored < double(kLaunchMax) ? int64_t(-floored) : kLaunchMax + 1;
}

}  // namespace

// Experts whose weights are read.
int64_t Fold::num_distinct(int index, const Batch& batch) {
  const size_t words = size_t(owners_.words), first = size_t(index) * chips_.size();
  if (words == 1) return __builtin_popcountll(batch.mask);
  std::fill(met_.begin(), met_.end(), 0);
  for (const Taken& one : batch.taken) {
    const uint64_t* mask = masks_.data() + (first + size_t(one.chip)) * words;
    for (size_t word = 0; word < words; ++word) met_[word] |= mask[word];
  }
  int64_t distinct = 0;
  for (const uint64_t word : met_) distinct += __builtin_popcountll(word);
  return distinct;
}

int64_t Fold::batch_ns(int index, const Batch& batch) {
  Shard& shard = shards_[size_t(index)];
  const int64_t rows = batch.rows, choices = batch.choices, distinct = num_distinct(index, batch);
  int64_t took_ns = terms_.reads_ns[size_t(distinct)];
  for (size_t term = 0; term < terms_.computes.size(); ++term) {
    took_ns = std::max(took_ns, term_ns(term, terms_.computes[term].of_rows ? rows : choices));
  }
  took_ns += terms_.overhead_ns;
  const double slow = terms_.slow[size_t(index)];
  if (slow != 1.0) took_ns = rounded_up(double(took_ns) * slow, 1.0);
  if (took_ns > kLaunchMax) refuse("a shard's launch takes longer than 2^50 ns, 13 days");
  shard.count.messages_in += int64_t(batch.taken.size());
  shard.count.rows_in += rows;
  ++shard.launches;
  shard.compute_ns += took_ns;
  shard.choices += choices;
  shard.distinct += distinct;
  return took_ns;
}

int64_t Fold::term_ns(size_t number, int64_t count) {
  const Term& term = terms_.computes[number];
  std::vector<int64_t>& known = known_ns_[number];
  if (count < int64_t(known.size()) && known[size_t(count)] >= 0) return known[size_t(count)];
  const Grains work = Grains(count) * Grains(term.amount) * Grains(kNsPerS);
  int64_t took_ns = 0;
  if (term.whole_rate) {
    const Grains rate = Grains(term.whole_rate);
    took_ns = int64_t(std::min((work + rate - 1) / rate, Grains(kLaunchMax + 1)));
  } else {
    took_ns = rounded_up(double(work), term.rate);
  }
  if (count < kKnownMax) {
    if (count >= int64_t(known.size())) known.resize(size_t(count) + 1, -1);
    known[size_t(count)] = took_ns;
  }
  return took_ns;
}

}  // namespace perfuse::fold
