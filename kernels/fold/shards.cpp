// What shards do: take messages in, compute, answer.
#include <algorithm>
#include <cstring>

#include "fold.h"

namespace perfuse::fold {
namespace {

constexpr size_t kStepsMax = 8;         // of a search before it halves
constexpr long kAhead = 6;              // answers, whose places are asked for
constexpr size_t kGoneMax = 64;        // of a queue, before it is moved up

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

// Where it belongs among those on their way; those behind it move up, to `end`.
size_t Fold::made_room(Shard& shard, size_t end, int64_t first_ns) {
  Queued* queue = shard.queue.data();
  size_t at = end;
  for (size_t steps = 0; at > shard.taken && queue[at - 1].first_ns > first_ns; --at) {
    if (++steps <= kStepsMax) continue;
    const auto before = [](int64_t ns, const Queued& one) { return ns < one.first_ns; };
    at = size_t(std::upper_bound(queue + shard.taken, queue + at, first_ns, before) - queue);
    break;
  }
  std::memmove(queue + at + 1, queue + at, (end - at) * sizeof *queue);
  return at;
}

// When one that is next on the lane will have arrived; where chips are slower, not before that.
int64_t Fold::arrival_ns(const Shard& shard, const Queued& one) const {
  if (shard.into) return one.first_ns + out_[one.rows];
  return std::max(shard.in_free_ns, one.first_ns) + into_shard_[one.rows];
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
    at_ns = arrival_ns(shard, *first);
    shard.is_looking = bool(shard.into);
  }
  if (shard.into) {
    for (size_t i = shard.taken; i < queue.size(); ++i) {
      const int64_t least_ns = arrival_ns(shard, queue[i]);
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
  size_t taken = shard.taken;
  if (shard.into) {
    for (; taken < queue.size() && queue[taken].first_ns <= now_ns; ++taken) {
      take_in_limited(shard, taken);
    }
  } else {
    int64_t free_ns = shard.in_free_ns, busy_ns = 0;
    for (; taken < queue.size() && queue[taken].first_ns <= now_ns; ++taken) {
      Queued& one = queue[taken];
      const int64_t took_ns = into_shard_[one.rows];
      busy_ns += took_ns;
      one.at_ns = free_ns = std::max(free_ns, one.first_ns) + took_ns;
    }
    shard.in_free_ns = free_ns;
    shard.count.busy_in_ns += busy_ns;
  }
  shard.taken = taken;
}

// Where chips are slower one may overtake another: those that are taken in lie as they arrive.
void Fold::take_in_limited(Shard& shard, size_t at) {
  std::vector<Queued>& queue = shard.queue;
  Queued one = queue[at];
  const int64_t bytes = into_shard_.bytes(one.rows);
  const int64_t in_ns = shard.into->take(one.first_ns, bytes, terms_.chip_rate);
  one.at_ns = std::max(in_ns, one.first_ns + out_[one.rows]);
  for (; at > shard.head && queue[at - 1].at_ns > one.at_ns; --at) queue[at] = queue[at - 1];
  queue[at] = one;
  shard.count.busy_in_ns += into_shard_[one.rows];
}

// All that has arrived, by layer in the order of first arrival.
void Fold::take(int index, int64_t now_ns) {
  Shard& shard = shards_[size_t(index)];
  std::vector<Queued>& queue = shard.queue;
  shard.num_batches = shard.batch = 0;
  const Queued *one = queue.data() + shard.head, *end = queue.data() + shard.taken;
  for (Batch* batch = nullptr; one < end && one->at_ns <= now_ns; ++one) {
    if (!batch || batch->layer != one->layer) batch = &batch_of(shard, one->layer);
    batch->take(*one);
  }
  shard.head = size_t(one - queue.data());
  if (shard.head > kGoneMax && shard.head * 2 > queue.size()) {
    queue.erase(queue.begin(), queue.begin() + long(shard.head));
    shard.taken -= shard.head;
    shard.head = 0;
  }
}

Batch& Fold::batch_of(Shard& shard, int32_t layer) {
  size_t& at = batch_of_[size_t(layer)];
  if (at >= shard.num_batches || shard.batches[at].layer != layer) {
    at = shard.num_batches++;
    if (at == shard.batches.size()) shard.batches.emplace_back();
    shard.batches[at].begin(layer);
  }
  return shard.batches[at];
}

void Fold::answer(int index, const Batch& batch, int64_t now_ns) {
  Shard& shard = shards_[size_t(index)];
  uint64_t order = ++num_ordered_ << kPlaceBits;
  int64_t free_ns = std::max(shard.out_free_ns, now_ns), num_rows = 0;
  const int64_t begin_ns = free_ns, path_ns = terms_.back_ns, *took_ns = back_.by_rows();
  const size_t shards = shards_.size();
  int32_t* num_open = num_open_.data();
  Answer* answers = answers_.data();
  const Taken *to = batch.taken.data(), *end = to + batch.taken.size();
  for (; to < end; ++to) {
    if (to + kAhead < end) {
      const size_t chip = size_t(to[kAhead].chip);
      __builtin_prefetch(answers + chip * shards + size_t(num_open[chip] - 1), 1);
    }
    const int32_t place = --num_open[to->chip];
    Answer& one = answers[size_t(to->chip) * shards + size_t(place)];
    one.first_ns = free_ns + path_ns;
    one.order = order++;
    one.rows = to->rows;
    free_ns += took_ns[to->rows];
    num_rows += to->rows;
    if (!place) answered(to->chip);
  }
  shard.out_free_ns = free_ns;
  shard.count.messages_out += int64_t(batch.taken.size());
  shard.count.rows_out += num_rows;
  shard.count.busy_out_ns += free_ns - begin_ns;
}

}  // namespace perfuse::fold
