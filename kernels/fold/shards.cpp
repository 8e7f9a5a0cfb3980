// What shards do: take messages in, compute, answer.
#include <algorithm>
#include <cmath>

#include "fold.h"

namespace perfuse::fold {
namespace {

constexpr int kPlaceBits = 17;
constexpr int64_t kLaunchMax = int64_t{1} << 50;
constexpr int64_t kKnownMax = 1 << 16;  // counts whose times are kept
constexpr size_t kStepsMax = 8;         // of a search before it halves
constexpr size_t kGoneMax = 512;        // of a queue, before it is moved up

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

// A launch has ended, or something may have arrived at an idle shard.
void Fold::shard_goes_on(int index, const Moment& moment) {
  Shard& shard = shards_[size_t(index)];
  take_in(index, moment.at);
  Moment woken = moment;
  if (shard.is_idle) {
    const bool has_arrived = shard.head < shard.taken && shard.queue[shard.head].at_ns <= moment.at;
    if (shard.is_looking || !has_arrived) {  // it is known now when: wait for that moment
      idle(index);
      return;
    }
    shard.is_idle = false;
    take(index, moment.at);
  } else {
    woken.order = ++num_ordered_ << kPlaceBits;
  }
  while (true) {
    // Here the batch is to be launched, or was and has ended.
    Batch& batch = shard.batches[shard.batch];
    if (batch.is_launched) {
      answer(index, batch, moment.at);
      if (++shard.batch < shard.num_batches) continue;
      take(index, moment.at);
      if (!shard.num_batches) {
        shard.is_idle = true;
        idle(index);
        return;
      }
      continue;
    }
    batch.is_launched = true;
    const int64_t took_ns = batch_ns(index, batch);
    if (!took_ns) continue;
    instants_.put(shard_index(index), {moment.at + took_ns, set_at(moment.at, kTask), woken.set,
                                       woken.order});
    return;
  }
}

// A dispatch leaves for a shard. Nearly always it comes after all that are on their way there.
void Fold::queue(int index, int chip, int64_t first_ns) {
  Shard& shard = shards_[size_t(index)];
  std::vector<Queued>& queue = shard.queue;
  size_t at = queue.size();
  queue.push_back({first_ns, 0, chip});
  for (size_t steps = 0; at > shard.taken && queue[at - 1].first_ns > first_ns; --at) {
    if (++steps <= kStepsMax) continue;
    const auto before = [](int64_t ns, const Queued& one) { return ns < one.first_ns; };
    const auto begin = queue.begin() + long(shard.taken), end = queue.begin() + long(at);
    at = size_t(std::upper_bound(begin, end, first_ns, before) - queue.begin());
    break;
  }
  if (at + 1 < queue.size()) {
    std::move_backward(queue.begin() + long(at), queue.end() - 1, queue.end());
    queue[at] = {first_ns, 0, chip};
  }
  if (shard.is_idle && (at == shard.head || shard.into)) idle(index);
}

// When one that is next on the lane will have arrived; where chips are slower, not before that.
int64_t Fold::arrival_ns(const Shard& shard, const Queued& one, int index) const {
  const uint32_t rows = rows_[size_t(one.chip) * shards_.size() + size_t(index)];
  if (shard.into) return one.first_ns + out_[rows];
  return std::max(shard.in_free_ns, one.first_ns) + into_shard_[rows];
}

// Nothing waits at a shard: it looks again when the first message arrives, or may.
void Fold::idle(int index) {
  Shard& shard = shards_[size_t(index)];
  const std::vector<Queued>& queue = shard.queue;
  shard.is_looking = false;
  if (shard.head == queue.size()) {
    instants_.drop(shard_index(index));
    return;
  }
  const Queued* first = &queue[shard.head];
  int64_t at_ns = first->at_ns;
  if (shard.head == shard.taken) {
    at_ns = arrival_ns(shard, *first, index);
    shard.is_looking = bool(shard.into);
  }
  if (shard.into) {
    for (size_t i = shard.taken; i < queue.size(); ++i) {
      const int64_t least_ns = arrival_ns(shard, queue[i], index);
      if (least_ns > at_ns) continue;
      at_ns = least_ns;
      shard.is_looking = true;
    }
  }
  if (shard.is_looking) {  // before anything else of that instant
    instants_.put(shard_index(index), {at_ns, 0, 0, 0});
    return;
  }
  const uint64_t order = chips_[size_t(first->chip)].sent_order | uint64_t(index);
  instants_.put(shard_index(index), {at_ns, set_at(first->first_ns, kArrived), 0, order});
}

// All whose first bytes are here: no other can come before them any more.
void Fold::take_in(int index, int64_t now_ns) {
  Shard& shard = shards_[size_t(index)];
  std::vector<Queued>& queue = shard.queue;
  const uint32_t* rows = rows_.data() + index;
  for (; shard.taken < queue.size() && queue[shard.taken].first_ns <= now_ns; ++shard.taken) {
    Queued one = queue[shard.taken];
    const uint32_t count = rows[size_t(one.chip) * shards_.size()];
    shard.count.busy_in_ns += into_shard_[count];
    if (!shard.into) {
      one.at_ns = std::max(shard.in_free_ns, one.first_ns) + into_shard_[count];
      queue[shard.taken].at_ns = shard.in_free_ns = one.at_ns;
      continue;
    }
    const int64_t in_ns = shard.into->take(one.first_ns, into_shard_.bytes(count));
    one.at_ns = std::max(in_ns, one.first_ns + out_[count]);
    size_t at = shard.taken;
    for (; at > shard.head && queue[at - 1].at_ns > one.at_ns; --at) queue[at] = queue[at - 1];
    queue[at] = one;
  }
}

// All that has arrived, by layer in the order of first arrival.
void Fold::take(int index, int64_t now_ns) {
  Shard& shard = shards_[size_t(index)];
  std::vector<Queued>& queue = shard.queue;
  shard.num_batches = shard.batch = 0;
  for (; shard.head < shard.taken && queue[shard.head].at_ns <= now_ns; ++shard.head) {
    const int chip = queue[shard.head].chip;
    const int64_t layer = chips_[size_t(chip)].exchange;
    size_t at = batch_of_[size_t(layer)];
    if (at >= shard.num_batches || shard.batches[at].layer != layer) {
      at = batch_of_[size_t(layer)] = shard.num_batches++;
      if (at == shard.batches.size()) shard.batches.emplace_back();
      shard.batches[at].layer = layer;
      shard.batches[at].is_launched = false;
      shard.batches[at].chips.clear();
    }
    shard.batches[at].chips.push_back(chip);
  }
  if (shard.head > kGoneMax && shard.head * 2 > queue.size()) {
    queue.erase(queue.begin(), queue.begin() + long(shard.head));
    shard.taken -= shard.head;
    shard.head = 0;
  }
}

int64_t Fold::batch_ns(int index, const Batch& batch) {
  Shard& shard = shards_[size_t(index)];
  const size_t words = size_t(owners_.words);
  int64_t rows = 0, choices = 0, distinct = 0;
  std::fill(met_.begin(), met_.end(), 0);
  for (const int chip : batch.chips) {
    const size_t at = size_t(chip) * shards_.size() + size_t(index);
    rows += rows_[at];
    choices += choices_[at];
    for (size_t word = 0; word < words; ++word) met_[word] |= masks_[at * words + word];
  }
  for (const uint64_t word : met_) distinct += __builtin_popcountll(word);
  int64_t took_ns = terms_.reads_ns[size_t(distinct)];
  for (size_t term = 0; term < terms_.computes.size(); ++term) {
    took_ns = std::max(took_ns, term_ns(term, terms_.computes[term].of_rows ? rows : choices));
  }
  took_ns += terms_.overhead_ns;
  const double slow = terms_.slow[size_t(index)];
  if (slow != 1.0) took_ns = rounded_up(double(took_ns) * slow, 1.0);
  if (took_ns > kLaunchMax) refuse("a shard's launch takes longer than 2^50 ns, 13 days");
  shard.count.messages_in += int64_t(batch.chips.size());
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

void Fold::answer(int index, const Batch& batch, int64_t now_ns) {
  Shard& shard = shards_[size_t(index)];
  const uint32_t* rows = rows_.data() + index;
  uint64_t order = ++num_ordered_ << kPlaceBits;
  int64_t free_ns = std::max(shard.out_free_ns, now_ns), num_rows = 0;
  const int64_t begin_ns = free_ns;
  for (const int to : batch.chips) {
    Chip& chip = chips_[size_t(to)];
    const uint32_t count = rows[size_t(to) * shards_.size()];
    const Answer one{free_ns + terms_.back_ns, order++, count};
    chip.answers.push_back(one);
    chip.answers_ns += into_chip_[count];
    if (chip.last < one) chip.last = one;
    free_ns += back_[count];
    num_rows += count;
    if (!--chip.num_open) answered(to);
  }
  shard.out_free_ns = free_ns;
  shard.count.messages_out += int64_t(batch.chips.size());
  shard.count.rows_out += num_rows;
  shard.count.busy_out_ns += free_ns - begin_ns;
}

}  // namespace perfuse::fold
