// Out of this rank's own arena: tokens that came, sums that came back.
#include <algorithm>

#include "turn.h"

namespace perfuse::a2a {
namespace {

constexpr int32_t kNobody = -1;

Outcome outcome_of(const Peer& peer) {
  switch (peer.life.load()) {
    case Life::LIVING: return Outcome::NOT_YET;
    case Life::DEAD: return Outcome::DEAD;
    default: return Outcome::CUT_OFF;
  }
}

}  // namespace

bool Member::has_work(long source, int ahead) const {
  const PeerPointer& peer = peers_[size_t(source)];
  if (!peer || peer->life.load(std::memory_order_relaxed) == Life::CUT_OFF) return false;
  const uint64_t round = peer->rounds_taken + 1 + uint64_t(ahead);
  return is_at(*peer, arena_->at<WorkControl>(layout_.work(round, source))->round, round);
}

bool Member::has_any_work() const {
  for (long source = 0; source < geometry_.world; ++source) {
    if (has_work(source)) return true;
  }
  return false;
}

// The first of these from which nothing can come; of everybody, one that was cut off since the last
// call: it is told once.
Verdict Member::lost_source(const std::vector<long>& sources) {
  for (const long source : sources) {
    const Peer& peer = attached(source);
    if (!has_work(source) && !peer.lives()) return {outcome_of(peer), source};
  }
  for (long source = 0; sources.empty() && source < geometry_.world; ++source) {
    const PeerPointer& peer = peers_[size_t(source)];
    if (!peer || peer->life.load() != Life::CUT_OFF || peer->told) continue;
    peer->told = true;
    return {Outcome::CUT_OFF, source};
  }
  return {Outcome::NOT_YET, 0};
}

// Rows of a round that waits, whose experts are copied; -1: it makes no sense, and whoever wrote it
// is cut off.
long Member::copy_in(long source, uint64_t round, const Array& experts) {
  const char* region = arena_->at<char>(layout_.work(round, source));
  const auto& control = *reinterpret_cast<const WorkControl*>(region);
  const long count = control.num_rows.load(std::memory_order_relaxed);
  bool sound = count <= geometry_.capacity;
  if (sound) {
    // A copy: what is in the arena may still change.
    auto* to = reinterpret_cast<int32_t*>(experts.data + long(round & 1) * experts.strides[0] +
                                          source * experts.strides[1]);
    std::memcpy(to, region + layout_.experts_at, size_t(count * geometry_.each) * 4);
    for (long i = 0; i < count * geometry_.each; ++i) {
      sound = sound && to[i] >= kNobody && to[i] < geometry_.num_experts;
    }
  }
  if (sound) return count;
  cut_off(source);
  return -1;
}

void Member::cut_off(long source) {
  peers_[size_t(source)]->life.store(Life::CUT_OFF);
  peers_[size_t(source)]->told = true;
}

void Member::commit(const Arrival& arrival, int64_t* found) {
  Peer& peer = *peers_[size_t(arrival.source)];
  const auto& control = *arena_->at<WorkControl>(layout_.work(arrival.round, arrival.source));
  peer.rounds_taken = arrival.round;
  peer.owed[arrival.round & 1] = arrival.round;
  peer.owed_rows[arrival.round & 1] = arrival.count;
  found[0] = arrival.source;
  found[1] = int64_t(peer.epoch);
  found[2] = int64_t(arrival.round);
  found[3] = arrival.count;
  found[4] = control.tag.load(std::memory_order_relaxed);
}

// The next round of each of `sources`, or of everybody what waits: nothing is taken before all of
// it is known to be sound.
Verdict Member::take(const std::vector<long>& sources, const Array& experts, int64_t* found,
                     long& count) {
  std::vector<Arrival> arrivals;
  for (long i = 0; i < (sources.empty() ? geometry_.world : long(sources.size())); ++i) {
    const long source = sources.empty() ? i : sources[size_t(i)];
    for (int ahead = 0; ahead < (sources.empty() ? 2 : 1) && has_work(source, ahead); ++ahead) {
      const uint64_t round = peers_[size_t(source)]->rounds_taken + 1 + uint64_t(ahead);
      const long rows = copy_in(source, round, experts);
      if (rows < 0) return {Outcome::CUT_OFF, source};
      arrivals.push_back({source, round, rows});
    }
  }
  for (const Arrival& arrival : arrivals) commit(arrival, found + 5 * count++);
  return count ? Verdict{} : Verdict{Outcome::NOT_YET, 0};
}

Verdict Member::dispatch_receive(const std::vector<long>& sources, const Array& found,
                                 const Array& experts, int64_t spin_ns, int64_t slice_ns,
                                 long& count) {
  const Turn turn(*this, WORK);
  const auto missing = [&] {
    int number = 0;
    for (const long source : sources) {
      if (has_work(source)) continue;
      if (!attached(source).lives()) return 0;
      ++number;
    }
    return sources.empty() ? !has_any_work() : number;
  };
  await(WORK, spin_ns, slice_ns, missing);
  const Verdict lost = lost_source(sources);
  if (lost.outcome != Outcome::NOT_YET) return lost;
  count = 0;
  if (missing() > 0) return lost;
  return take(sources, experts, reinterpret_cast<int64_t*>(found.data), count);
}

Outcome Member::answer_of(const Flight::Part& part) const {
  if (part.lost != Outcome::DONE) return part.lost;
  Peer& peer = *part.peer;
  // The next incarnation writes where its predecessor's answer was.
  if (peers_[size_t(part.rank)] != part.peer) return Outcome::DEAD;
  const auto& control = *arena_->at<AnswerControl>(layout_.answer(part.round, part.rank));
  if (peer.life.load() == Life::CUT_OFF || !is_at(peer, control.round, part.round)) {
    return outcome_of(peer);
  }
  const uint32_t status = control.status.load(std::memory_order_relaxed);
  if (status == uint32_t(Status::REFUSED)) return Outcome::REFUSED;
  const bool sound = status == uint32_t(Status::SUMS) &&
                     control.num_rows.load(std::memory_order_relaxed) == part.tokens.size();
  if (sound) return Outcome::DONE;
  peer.life.store(Life::CUT_OFF);
  return Outcome::CUT_OFF;
}

// Ranks in order: the bits do not depend on who answered first.
void Member::add_answers(const Flight& flight, const Array& sums) const {
  const long hidden = geometry_.hidden;
  const bool wide = sums.is("float64");
  const long bytes = hidden * (wide ? 8 : 4);
  std::vector<size_t> next(flight.parts.size(), 0);
  std::vector<const char*> rows;
  for (long token = 0; token < flight.num_tokens; ++token) {
    rows.clear();
    for (size_t p = 0; p < flight.parts.size(); ++p) {
      const Flight::Part& part = flight.parts[p];
      size_t& row = next[p];
      if (row == part.tokens.size() || part.tokens[row] != token) continue;
      const long at = layout_.answer(part.round, part.rank) + layout_.answer_rows_at;
      if (part.lost == Outcome::DONE) {
        const char* data = arena_->at<char>(at + long(row) * layout_.back_row_bytes);
        rows.push_back(data);
        // The next one, which another processor has written.
        for (long b = 0; b < layout_.back_row_bytes; b += 64) {
          __builtin_prefetch(data + layout_.back_row_bytes + b);
        }
      }
      ++row;
    }
    sum_rows(geometry_.back, rows, hidden, wide, sums.data + token * bytes);
  }
}

void Member::expect_open(const Flight& flight) const {
  if (flight.member != this) refuse("the handle is another rank's");
  if (flight.received) refuse("the handle was received or dropped before");
}

Verdict Member::combine_receive(Flight& flight, const Array& sums, const Array& lost, Whole whole,
                                int64_t spin_ns, int64_t slice_ns) {
  const Turn turn(*this, ANSWERS);
  expect_open(flight);
  expect(sums, "sums_TH", 0, flight.num_tokens);
  Verdict failed;
  const auto missing = [&] {
    failed = {};
    int number = 0;
    for (const Flight::Part& part : flight.parts) {
      const Outcome outcome = answer_of(part);
      if (outcome == Outcome::NOT_YET && whole != Whole::PUNCTUAL) ++number;
      if (outcome == Outcome::DONE || outcome == Outcome::NOT_YET || whole != Whole::ALL) continue;
      failed = {outcome, part.rank};
      return 0;
    }
    return number;
  };
  await(ANSWERS, spin_ns, slice_ns, missing);
  if (missing() > 0) return {Outcome::NOT_YET, 0};
  if (failed.outcome != Outcome::DONE) return failed;
  auto* marks = reinterpret_cast<int64_t*>(lost.data);
  std::fill_n(marks, geometry_.world, 0);  // whoever was lost to another flight is not to this one
  for (Flight::Part& part : flight.parts) {
    part.lost = answer_of(part);
    marks[part.rank] = int64_t(part.lost);
  }
  add_answers(flight, sums);
  flight.let_go();
  return {};
}

int Member::await_work() {
  const Turn turn(*this, WORK);
  // Who was cut off since is told by whoever takes.
  const auto missing = [&] {
    for (const PeerPointer& peer : peers_) {
      if (peer && peer->life.load() == Life::CUT_OFF && !peer->told) return 0;
    }
    return int(!has_any_work());
  };
  return sleep_in_loop(arena_->bell(WORK), missing);
}

int Member::await_answers(const Flight& flight) {
  const Turn turn(*this, ANSWERS);
  expect_open(flight);
  const auto missing = [&] {
    int number = 0;
    for (const Flight::Part& part : flight.parts) number += answer_of(part) == Outcome::NOT_YET;
    return number;
  };
  look_alive();
  return sleep_in_loop(arena_->bell(ANSWERS), missing);
}

void Member::drop(Flight& flight) {
  const Turn turn(*this, ANSWERS);
  if (flight.member != this) refuse("the handle is another rank's");
  flight.let_go();
}

}  // namespace perfuse::a2a
