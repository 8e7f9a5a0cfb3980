// How a rank and its peers come and go.
#include "member.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "turn.h"

namespace perfuse::a2a {

File::File(int file, const char* what) {
  if (file < 0) return;
  number_ = fcntl(file, F_DUPFD_CLOEXEC, 0);
  // There is no descriptor left: no fault of the caller's.
  if (number_ < 0 && errno != EBADF) throw std::bad_alloc();
  if (number_ < 0) refuse(what + (" is " + std::to_string(file)) + "; it must be an open file");
}

File::~File() {
  if (number_ >= 0) ::close(number_);
}

void Flight::let_go() {
  received = true;
  for (Part& part : parts) {
    if (part.peer) part.peer->sent[part.round & 1].held.store(false);
    part.peer.reset();
  }
}

Member::Member(const Geometry& geometry, long rank, uint64_t epoch, int file, int pipe)
    : geometry_(geometry),
      layout_(geometry),
      rank_(rank),
      epoch_(epoch),
      process_(getpid()),
      pipe_(pipe, "pipe"),
      arena_(std::make_shared<Mapping>(file, layout_.arena_bytes)),
      peers_(size_t(geometry.world)),
      routes_(size_t(geometry.world)) {
  auto self = std::make_shared<Peer>();
  self->arena = arena_;
  self->epoch = epoch;
  self->pipe = File(pipe, "pipe");
  peers_[size_t(rank)] = self;
  arena_->alive().store(1);
}

Member::~Member() {
  close();
  // A fork's is not its own: its thread is not there, and what that holds is never let go.
  if (getpid() != process_) wire_.release();
}

void Member::attach(long rank, uint64_t epoch, int file, int process, int pipe) {
  auto peer = std::make_shared<Peer>();
  if (rank == rank_) refuse("rank " + std::to_string(rank) + " is this one: it is attached");
  peer->arena = std::make_shared<Mapping>(file, layout_.arena_bytes);
  peer->epoch = epoch;
  peer->process = File(process, "process");
  peer->pipe = File(pipe, "pipe");
  const Change change(*this);
  place_for(rank, epoch) = peer;
}

void Member::open_wire(const std::string& library, const std::string& settings, uint64_t token) {
  const Change change(*this);
  if (closed_ || wire_) refuse("this rank is closed, or has a wire");
  wire_ = std::make_unique<Wire>(library, settings, token, geometry_, rank_, epoch_, arena_);
}

Wire& Member::wire() const {
  if (!wire_) refuse("this rank has no wire");
  return *wire_;
}

void Member::attach_far(long rank, uint64_t epoch, uint64_t token, const std::string& address) {
  if (rank == rank_) refuse("rank " + std::to_string(rank) + " is this one: it is attached");
  auto peer = std::make_shared<Peer>();
  peer->arena = std::make_shared<Mapping>(layout_.arena_bytes);
  peer->arena->alive().store(1);
  peer->epoch = epoch;
  const Change change(*this);
  PeerPointer& place = place_for(rank, epoch);
  if (place && place->link) wire().disconnect(*place->link);
  peer->link = wire().connect(rank, epoch, token, address, peer->arena, peer->life);
  place = peer;
}

// Where an incarnation may stand: its predecessor has ended.
Member::PeerPointer& Member::place_for(long rank, uint64_t epoch) {
  if (closed_) refuse("this rank is closed");
  PeerPointer& place = peers_[size_t(rank)];
  if (!place) return place;
  look_for_dead();
  if (epoch <= place->epoch) {
    refuse("rank " + std::to_string(rank) + " is known in epoch " + std::to_string(place->epoch) +
           "; another incarnation must have a later one, not " + std::to_string(epoch));
  }
  // Two that write to the same regions would spoil each other's rows.
  if (place->lives()) {
    refuse("rank " + std::to_string(rank) + " still lives in epoch " +
           std::to_string(place->epoch) + "; it must end before epoch " + std::to_string(epoch) +
           " takes its place");
  }
  place->life.store(Life::DEAD);
  return place;
}

int Member::pipe_of(const Peer& peer, Side side) const {
  return wire_ && peer.arena == arena_ ? wire_->pipe(side) : peer.pipe.number();
}

void Member::mark_dead(long rank) {
  const Change change(*this);
  if (rank == rank_) refuse("rank " + std::to_string(rank) + " is this one: close it");
  attached(rank).life.store(Life::DEAD);
}

void Member::close() {
  // A fork has the same memory, and is not the rank.
  if (getpid() != process_) return;
  const Change change(*this);
  if (closed_) return;
  closed_ = true;
  arena_->alive().store(0);
  for (const PeerPointer& peer : peers_) {
    if (!peer || peer->arena == arena_ || peer->link) continue;
    for (const Side side : {WORK, ANSWERS}) {
      ring_always(peer->arena->bell(side), peer->pipe.number());
    }
    peer->life.store(Life::DEAD);
  }
  if (wire_) wire_->close();
  for (PeerPointer& peer : peers_) peer.reset();
}

int64_t Member::life_of(long rank) {
  const Change change(*this);
  if (closed_) refuse("this rank is closed");
  look_for_dead();
  const PeerPointer& peer = peers_[size_t(rank)];
  return peer ? int64_t(peer->life.load()) : -1;
}

Peer& Member::attached(long rank) const {
  const PeerPointer& peer = peers_[size_t(rank)];
  if (!peer) refuse("rank " + std::to_string(rank) + " is not attached");
  return *peer;
}

// What a rank says of itself when it ends in order.
void Member::look_alive() {
  for (const PeerPointer& peer : peers_) {
    if (peer && peer->lives() && peer->arena->alive().load() != 1) peer->life.store(Life::DEAD);
  }
}

// And what the kernel says of one that could say nothing.
void Member::look_for_dead() {
  if (wire_) wire_->progress();
  look_alive();
  std::vector<pollfd> files;
  std::vector<Peer*> of;
  for (const PeerPointer& peer : peers_) {
    if (!peer || !peer->lives() || peer->process.number() < 0) continue;
    files.push_back({peer->process.number(), POLLIN, 0});
    of.push_back(peer.get());
  }
  if (files.empty() || poll(files.data(), nfds_t(files.size()), 0) <= 0) return;
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].revents) of[i]->life.store(Life::DEAD);
  }
}

// Whether a control has come to a round of this incarnation. Each round waits for the one before it
// at the same place: one that is ahead is nonsense.
bool Member::is_at(Peer& peer, const std::atomic<uint64_t>& control, uint64_t round) const {
  const uint64_t found = control.load(std::memory_order_acquire);
  const uint64_t wanted = round_word(peer.epoch, round);
  if (found > wanted && found >> kRoundBits == peer.epoch) peer.life.store(Life::CUT_OFF);
  return found == wanted;
}

}  // namespace perfuse::a2a
