// Into other ranks' arenas: tokens on their way out, sums on their way back.
#include <algorithm>

#include "copy.h"
#include "turn.h"

namespace perfuse::a2a {
namespace {

constexpr int32_t kNobody = -1;

int32_t owner_of(const Array& owners, int32_t expert, long world) {
  const long num_experts = owners.shape[0] - 1;
  if (expert < kNobody || expert >= num_experts) {
    refuse("experts_TK names expert " + std::to_string(expert) + "; there are " +
           std::to_string(num_experts));
  }
  const int32_t owner = element<int32_t>(owners, expert < 0 ? num_experts : expert);
  if (owner < kNobody || owner >= world) {
    refuse("owners_E names rank " + std::to_string(owner) + "; there are " +
           std::to_string(world));
  }
  return owner;
}

template <class T>
void copy_column(const Array& from, const std::vector<int32_t>& tokens, void* to) {
  T* out = static_cast<T*>(to);
  for (const int32_t token : tokens) *out++ = element<T>(from, token);
}

void copy_rows(const RowSource& rows, const std::vector<int32_t>& tokens, long bytes, char* to) {
  const size_t count = tokens.size();
  if (!rows.is_run()) {
    for (size_t i = 0; i < count; ++i) rows.write(tokens[i], to + long(i) * bytes);
    return;
  }
  for (size_t i = 0; i < count;) {
    size_t end = i + 1;
    while (end < count && tokens[end] == tokens[end - 1] + 1) ++end;
    copy_lines(to + long(i) * bytes, rows.run(tokens[i]), long(end - i) * bytes);
    i = end;
  }
}

}  // namespace

// Which tokens go to which rank, each once: `routes_`, and `addressed_`, this rank last, so that
// the others can begin.
void Member::route(const Array& owners, const Array& experts, bool everyone) {
  const long world = geometry_.world;
  for (std::vector<int32_t>& route : routes_) route.clear();
  for (long t = 0; t < experts.shape[0]; ++t) {
    for (long k = 0; k < experts.shape[1]; ++k) {
      const int32_t to = owner_of(owners, element<int32_t>(experts, t, k), world);
      if (to == kNobody) continue;
      std::vector<int32_t>& route = routes_[size_t(to)];
      if (route.empty() || route.back() != t) route.push_back(int32_t(t));
    }
  }
  addressed_.clear();
  for (long i = 1; i <= world; ++i) {
    const long rank = (rank_ + i) % world;
    const std::vector<int32_t>& route = routes_[size_t(rank)];
    const PeerPointer& peer = peers_[size_t(rank)];
    if (route.empty() && !(everyone && peer && peer->lives())) continue;
    const Peer& there = attached(rank);
    if (long(route.size()) > geometry_.capacity) {
      refuse(std::to_string(route.size()) + " tokens go to rank " + std::to_string(rank) +
             "; its arena has room for " + std::to_string(geometry_.capacity) + " of a sender");
    }
    const Peer::Sent& sent = there.sent[(there.rounds_sent + 1) & 1];
    if (there.lives() && sent.held.load()) {
      refuse("two dispatches to rank " + std::to_string(rank) +
             " are open; receive or drop the older one first");
    }
    if (there.rounds_sent == kRoundsMax) refuse("no more rounds: begin a new epoch");
    addressed_.push_back(rank);
  }
}

// The answer of two rounds ago has come, or there was none.
bool Member::has_room(long rank) const {
  Peer& peer = *peers_[size_t(rank)];
  const uint64_t round = peer.sent[(peer.rounds_sent + 1) & 1].round;
  return round == 0 || is_at(peer, arena_->at<AnswerControl>(layout_.answer(round, rank))->round,
                             round);
}

Flight* Member::new_flight(long num_tokens) {
  auto flight = std::make_unique<Flight>();
  flight->member = this;
  flight->num_tokens = num_tokens;
  std::sort(addressed_.begin(), addressed_.end());
  for (const long rank : addressed_) {
    Flight::Part part{rank, peers_[size_t(rank)], 0, routes_[size_t(rank)], Outcome::DONE};
    if (!part.peer->lives()) {
      part.lost = part.peer->life.load() == Life::DEAD ? Outcome::DEAD : Outcome::CUT_OFF;
      part.peer.reset();
    }
    flight->parts.push_back(std::move(part));
  }
  return flight.release();
}

void Member::send_to(Flight::Part& part, const Array& owners, const Columns& columns,
                     const RowSource& rows, int64_t tag) {
  Peer& peer = *part.peer;
  part.round = ++peer.rounds_sent;
  peer.sent[part.round & 1].round = part.round;
  peer.sent[part.round & 1].held.store(true);
  char* region = peer.arena->at<char>(layout_.work(part.round, rank_));
  copy_column<uint64_t>(columns.requests, part.tokens, region + layout_.requests_at);
  copy_column<int64_t>(columns.positions, part.tokens, region + layout_.positions_at);
  auto* experts = reinterpret_cast<int32_t*>(region + layout_.experts_at);
  auto* weights = reinterpret_cast<float*>(region + layout_.weights_at);
  for (const int32_t token : part.tokens) {
    for (long k = 0; k < geometry_.each; ++k) {
      const int32_t expert = element<int32_t>(columns.experts, token, k);
      const bool there = owner_of(owners, expert, geometry_.world) == part.rank;
      *experts++ = there ? expert : kNobody;  // each rank answers for its own
      *weights++ = element<float>(columns.weights, token, k);
    }
  }
  copy_rows(rows, part.tokens, layout_.send_row_bytes, region + layout_.rows_at);
  auto& control = *reinterpret_cast<WorkControl*>(region);
  control.num_rows.store(uint32_t(part.tokens.size()), std::memory_order_relaxed);
  control.tag.store(tag, std::memory_order_relaxed);
  control.round.store(round_word(epoch_, part.round), std::memory_order_release);
  if (peer.link) wire_->send(*peer.link, WORK, part.round, long(part.tokens.size()));
}

Flight* Member::dispatch_send(const Array& owners, const Columns& columns, const RowSource& rows,
                              int64_t tag, bool everyone, int64_t spin_ns, int64_t slice_ns) {
  const Turn turn(*this, ANSWERS);
  route(owners, columns.experts, everyone);
  const auto missing = [&] {
    int count = 0;
    for (const long rank : addressed_) count += peers_[size_t(rank)]->lives() && !has_room(rank);
    return count;
  };
  await(ANSWERS, spin_ns, slice_ns, missing);
  if (missing() > 0) return nullptr;
  std::unique_ptr<Flight> flight(new_flight(rows.count()));
  const size_t count = flight->parts.size();
  size_t first = 0;
  while (first < count && flight->parts[first].rank <= rank_) ++first;
  for (size_t i = 0; i < count; ++i) {
    Flight::Part& part = flight->parts[(first + i) % count];
    if (part.peer) send_to(part, owners, columns, rows, tag);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (const Flight::Part& part : flight->parts) {
    if (part.peer) ring(part.peer->arena->bell(WORK), pipe_of(*part.peer, WORK));
  }
  return flight.release();
}

Verdict Member::combine_send(long source, uint64_t epoch, uint64_t round, const RowSource* rows) {
  const Turn turn(*this, WORK);
  Peer& peer = attached(source);
  if (peer.epoch != epoch) return {Outcome::DEAD, source};
  if (peer.owed[round & 1] != round || round == 0) {
    refuse("round " + std::to_string(round) + " of rank " + std::to_string(source) +
           " waits for no answer");
  }
  const long count = peer.owed_rows[round & 1];
  if (rows && rows->count() != count) {
    refuse("rank " + std::to_string(source) + " is answered with " +
           std::to_string(rows->count()) + " rows; it sent " + std::to_string(count));
  }
  peer.owed[round & 1] = 0;
  if (peer.arena->alive().load(std::memory_order_relaxed) != 1) peer.life.store(Life::DEAD);
  if (!peer.lives()) {
    return {peer.life.load() == Life::DEAD ? Outcome::DEAD : Outcome::CUT_OFF, source};
  }
  char* region = peer.arena->at<char>(layout_.answer(round, rank_));
  char* to = region + layout_.answer_rows_at;
  if (rows && rows->is_run()) {
    copy_lines(to, rows->run(0), count * layout_.back_row_bytes);
  } else if (rows) {
    for (long i = 0; i < count; ++i) rows->write(i, to + i * layout_.back_row_bytes);
  }
  auto& control = *reinterpret_cast<AnswerControl*>(region);
  control.num_rows.store(uint32_t(count), std::memory_order_relaxed);
  const Status status = rows ? Status::SUMS : Status::REFUSED;
  control.status.store(uint32_t(status), std::memory_order_relaxed);
  control.round.store(round_word(epoch_, round), std::memory_order_release);
  if (peer.link) wire_->send(*peer.link, ANSWERS, round, rows ? count : 0);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  ring(peer.arena->bell(ANSWERS), pipe_of(peer, ANSWERS));
  return {Outcome::DONE, source};
}

}  // namespace perfuse::a2a
