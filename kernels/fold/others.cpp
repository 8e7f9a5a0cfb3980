// What comes into chips: answers, and what others send beside them; and others on their machines.
//
// The next launch is known when the last answer is sent. What comes in before that answer makes it
// later, so it is kept what was known:
//
//   into    the lane before the chip's dispatch
//   answers, others    what has come since, or will
//   tried   the lane after all of that, if it is known already
#include <algorithm>
#include <cmath>

#include "fold.h"

namespace perfuse::fold {
namespace {

constexpr uint64_t kOther = uint64_t{1} << 63;  // an order behind those of answers

}  // namespace

void Launching::wait_for_others() {
  late_ns = held_ns > begin_ns ? int64_t(std::ceil(double(held_ns - begin_ns) * slow)) : 0;
}

// All answers are sent: the next launch begins when the last of them is there.
void Fold::answered(int index) {
  Chip& chip = chips_[size_t(index)];
  chip.count.messages_in += chip.num_sent;
  chip.count.rows_in += chip.rows;
  chip.count.busy_in_ns += chip.answers_ns;
  ++chip.exchange;
  launch_after_answers(index);
}

void Fold::launch_after_answers(int index) {
  int64_t at_ns = 0;
  const Answer last = taken_in(index, at_ns);
  launch(index, at_ns, {at_ns, set_at(last.first_ns, kArrived), 0, last.order});
}

// The last answer, and when it is there. Where nobody else is on the lane only those matter from
// which on it may have been busy until then: they come no earlier than all answers take before the
// last one.
Answer Fold::taken_in(int index, int64_t& at_ns) {
  Chip& chip = chips_[size_t(index)];
  const Answer* answers = answers_.data() + size_t(index) * shards_.size();
  int64_t last_ns = 0, first_ns = kNever;
  for (int64_t i = 0; i < chip.num_sent; ++i) {
    last_ns = std::max(last_ns, answers[i].first_ns);
    first_ns = std::min(first_ns, answers[i].first_ns);
  }
  const bool is_limited = terms_.shard_rate < terms_.chip_rate;
  if (is_limited || !chip.others.empty() || !chip.into.is_idle(first_ns)) {
    chip.tried = chip.into;
    chip.is_tried = true;
    return replay(index, chip.tried, kNever, at_ns);
  }
  late_.clear();
  for (int64_t i = 0; i < chip.num_sent; ++i) {
    if (answers[i].first_ns >= last_ns - chip.answers_ns) late_.push_back(answers[i]);
  }
  std::sort(late_.begin(), late_.end());
  at_ns = 0;
  for (const Answer& one : late_) at_ns = std::max(at_ns, one.first_ns) + into_chip_[one.rows];
  return late_.back();
}

// All that has its first byte there until then, over a lane as it was before; returns the last
// answer, and when that is there.
Answer Fold::replay(int index, PartedLane& lane, int64_t until_ns, int64_t& at_ns) {
  const Chip& chip = chips_[size_t(index)];
  const Answer* answers = answers_.data() + size_t(index) * shards_.size();
  const int64_t rate = terms_.shard_rate;
  came_.clear();
  for (int64_t i = num_open_[size_t(index)]; i < chip.num_sent; ++i) {
    const Answer& one = answers[i];
    if (one.first_ns > until_ns) continue;
    came_.push_back({one, into_chip_.bytes(one.rows), rate, one.first_ns + back_[one.rows], true});
  }
  uint64_t order = kOther;
  for (const Other& one : chip.others) {
    came_.push_back({{one.first_ns, order++, 0}, one.bytes, one.limit_per_s, 0, false});
  }
  const auto before = [](const Came& a, const Came& b) { return a.answer < b.answer; };
  std::sort(came_.begin(), came_.end(), before);
  Answer last{};
  at_ns = 0;
  for (const Came& one : came_) {
    const int64_t in_ns = lane.take(one.answer.first_ns, one.bytes, one.limit_per_s);
    const int64_t there_ns = std::max(in_ns, one.least_ns);
    if (!one.is_answer || there_ns < at_ns) continue;
    at_ns = there_ns;
    last = one.answer;
  }
  return last;
}

// What has come until now is the lane's past.
void Fold::settle(int index, int64_t now_ns) {
  Chip& chip = chips_[size_t(index)];
  if (chip.is_tried) {
    std::swap(chip.into, chip.tried);
  } else {
    int64_t at_ns;
    replay(index, chip.into, now_ns, at_ns);
  }
  chip.is_tried = false;
  chip.others.clear();
  chip.num_sent = 0;
}

// It is known when its next launch begins, and that is still to come.
bool Fold::is_pending(int index, int64_t now_ns) const {
  const Chip& chip = chips_[size_t(index)];
  return chip.stretch && chip.has_begun && !num_open_[size_t(index)] &&
         chip.launching.begin_ns > now_ns;
}

int64_t Fold::come(int index, const Other& other) {
  Chip& chip = chips_[size_t(index)];
  const bool is_pending_now = is_pending(index, other.first_ns);
  if (!is_pending_now && !num_open_[size_t(index)]) {
    settle(index, other.first_ns);
    return chip.into.take(other.first_ns, other.bytes, other.limit_per_s);
  }
  int64_t at_ns;
  chip.tried = chip.into;
  chip.is_tried = false;
  replay(index, chip.tried, other.first_ns, at_ns);
  const int64_t end_ns = chip.tried.take(other.first_ns, other.bytes, other.limit_per_s);
  chip.others.push_back(other);
  if (is_pending_now) launch_after_answers(index);
  return end_ns;
}

int64_t Fold::leave(int index, int64_t now_ns, int64_t bytes) {
  int64_t& free_ns = chips_[size_t(index)].out_free_ns;
  free_ns = std::max(free_ns, now_ns) + duration_ns(bytes, terms_.chip_rate);
  return free_ns;
}

void Fold::hold(int index, int64_t now_ns, int64_t until_ns, double slow) {
  Launching& launching = chips_[size_t(index)].launching;
  launching.held_ns = until_ns;
  launching.slow = slow;
  if (is_pending(index, now_ns)) launch(index, launching.begin_ns, launching.woken);
}

void Fold::lengthen(int index, int64_t now_ns, int64_t by_ns) {
  chips_[size_t(index)].launching.late_ns += by_ns;
  if (!chips_[size_t(index)].has_begun) return;
  const int64_t at_ns = instants_.at(index).at + by_ns;
  instants_.put(index, {at_ns, set_at(now_ns, kOutside), 0, ++num_ordered_ << kPlaceBits});
}

UnderWay Fold::under_way(int index, int64_t now_ns) const {
  const Chip& chip = chips_[size_t(index)];
  const bool is_waiting = num_open_[size_t(index)] > 0;
  const bool is_launching = !is_waiting && !is_pending(index, now_ns);
  return {is_launching, chip.launching.begin_ns, chip.launching.late_ns, chip.step,
          chip.exchange + is_waiting};
}

}  // namespace perfuse::fold
