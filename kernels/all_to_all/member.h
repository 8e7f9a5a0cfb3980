// One rank of an all-to-all: its arena, its peers' arenas, and how far each pair has come.
//
// Two sides, each for one thread at a time, both at once: `dispatch_send` and `combine_receive`
// sleep on the bell ANSWERS, `dispatch_receive` and `combine_send` work on the bell WORK. Peers
// come and go between calls: a change stops both sides for a moment.
//
// A rank that shares no memory with this one is reached by a wire: its arena here is an image, and
// what is written there travels; what it writes comes into this rank's own arena all the same.
//
// Nothing that is read from shared memory is believed: what counts, indexes or sizes is read once
// and checked; what is data may be any bits. A peer that writes what cannot be is cut off.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "../native/arguments.h"
#include "bell.h"
#include "life.h"
#include "mapping.h"
#include "rows.h"
#include "wire.h"

namespace perfuse::a2a {

// A file of this process's own, or none.
class File {
 public:
  File() = default;
  // A duplicate of a file that stays its owner's; -1 is none. `what` names it in a refusal.
  File(int file, const char* what);
  ~File();
  File(const File&) = delete;
  File& operator=(File&& other) {
    std::swap(number_, other.number_);
    return *this;
  }
  int number() const { return number_; }

 private:
  int number_ = -1;
};

// One incarnation of another rank, or of this one: a rank sends to itself as well.
struct Peer {
  // A round towards a shard. `held`: its answer may still be received.
  struct Sent {
    uint64_t round = 0;
    std::atomic<bool> held{false};
  };

  std::shared_ptr<Mapping> arena;  // with a link, an image of it
  std::shared_ptr<Link> link;
  uint64_t epoch = 0;
  File process;  // pidfd; none of this rank itself, nor of one with a link
  File pipe;     // a byte in it wakes the rank's event loop, if it has one
  std::atomic<Life> life{Life::LIVING};
  bool told = false;  // that it was cut off
  uint64_t rounds_sent = 0, rounds_taken = 0;
  Sent sent[2];
  uint64_t owed[2] = {0, 0};  // rounds that were taken and are not answered, and their rows
  long owed_rows[2] = {0, 0};

  bool lives() const { return life.load(std::memory_order_relaxed) == Life::LIVING; }
};

// What a call came to; a failing one names a rank.
enum class Outcome : int64_t { DONE = 0, NOT_YET = 1, DEAD = 2, CUT_OFF = 3, REFUSED = 4 };

struct Verdict {
  Outcome outcome = Outcome::DONE;
  long rank = 0;
  int64_t number() const { return int64_t(outcome) << 32 | rank; }
};

// Ranks that are lost end a sum, or are marked and left out, and so are those that are late.
enum class Whole : int64_t { ALL = 0, LIVING = 1, PUNCTUAL = 2 };

// Tokens that are away: to whom, in which order, and whose answers are still due.
class Flight : public Owned {
 public:
  struct Part {
    long rank;
    std::shared_ptr<Peer> peer;  // nullptr: there was no sending, the rank was dead
    uint64_t round;
    std::vector<int32_t> tokens;
    Outcome lost = Outcome::DONE;
  };
  const void* member = nullptr;
  long num_tokens = 0;
  bool received = false;
  std::vector<Part> parts;  // by rank

  ~Flight() override { let_go(); }
  const char* what() const override { return "dispatch"; }
  // Nobody will receive these answers: their regions are free once they have come.
  void let_go();
};

// The columns of a dispatch, [T], [T], [T, K], [T, K].
struct Columns {
  const Array &requests, &positions, &experts, &weights;
};

class Member : public Owned {
 public:
  // pipe: of this rank's own event loop, or -1.
  Member(const Geometry& geometry, long rank, uint64_t epoch, int file, int pipe);
  ~Member() override;
  const char* what() const override { return "all_to_all"; }
  const Geometry& geometry() const { return geometry_; }

  // Takes the place of an earlier incarnation. `process` is a pidfd, `pipe` its loop's or -1.
  void attach(long rank, uint64_t epoch, int file, int process, int pipe);
  // From now on others reach this rank by UCX, and it them. Once.
  void open_wire(const std::string& library, const std::string& settings, uint64_t token);
  Wire& wire() const;
  void attach_far(long rank, uint64_t epoch, uint64_t token, const std::string& address);
  void mark_dead(long rank);
  void close();
  int64_t life_of(long rank);  // -1: never attached

  // nullptr: no room yet. owners: [E + 1] rank of each expert, at the end nobody's.
  Flight* dispatch_send(const Array& owners, const Columns& columns, const RowSource& rows,
                        int64_t tag, bool everyone, int64_t spin_ns, int64_t slice_ns);
  // One message of each of `sources`, or all that wait of anybody where it is empty. Fills `found`
  // with (source, round, rows, tag) and copies
  // their experts to [parity][source].
  Verdict dispatch_receive(const std::vector<long>& sources, const Array& found,
                           const Array& experts, int64_t spin_ns, int64_t slice_ns, long& count);
  // rows: nullptr refuses. DEAD, CUT_OFF: nobody waits for it any more.
  Verdict combine_send(long source, uint64_t epoch, uint64_t round, const RowSource* rows);
  Verdict combine_receive(Flight& flight, const Array& sums, const Array& lost, Whole whole,
                          int64_t spin_ns, int64_t slice_ns);
  // Nobody will receive it.
  void drop(Flight& flight);
  // For an event loop: 0 if work is there, or a dispatch's answers are, or else will not come; else
  // the pipe says when to look again. What is asked last is what rings.
  int await_work();
  int await_answers(const Flight& flight);

 private:
  struct Arrival {
    long source;
    uint64_t round;
    long count;
  };
  class Turn;
  class Change;
  using PeerPointer = std::shared_ptr<Peer>;

  // Until missing() is 0, but no longer than a slice: dead peers are looked for in between, and
  // the caller's own interpreter has its turn.
  template <class Missing>
  void await(Side side, int64_t spin_ns, int64_t slice_ns, Missing missing) {
    if (missing() <= 0) return;
    const auto still = [&] { return changes_.load(std::memory_order_relaxed) ? 0 : missing(); };
    const auto awake = [&] { look_alive(); };
    const int64_t until = now_ns() + slice_ns;
    if (wire_) {
      wait(*wire_, side, arena_->bell(side), yields_[side], spin_ns, until, still);
    } else {
      wait(arena_->bell(side), yields_[side], spin_ns, until, still, awake);
    }
    if (missing() > 0) look_for_dead();
  }
  PeerPointer& place_for(long rank, uint64_t epoch);
  Peer& attached(long rank) const;
  // Of whoever may sleep at a peer's bell, this rank's own among them.
  int pipe_of(const Peer& peer, Side side) const;
  void look_alive();
  void look_for_dead();
  bool is_at(Peer& peer, const std::atomic<uint64_t>& control, uint64_t round) const;
  void route(const Array& owners, const Array& experts, bool everyone);
  bool has_room(long rank) const;
  Flight* new_flight(long num_tokens);
  void send_to(Flight::Part& part, const Array& owners, const Columns& columns,
               const RowSource& rows, int64_t tag);
  bool has_work(long source, int ahead = 0) const;
  bool has_any_work() const;
  Verdict lost_source(const std::vector<long>& sources);
  long copy_in(long source, uint64_t round, const Array& experts);
  void cut_off(long source);
  void commit(const Arrival& arrival, int64_t* found);
  Verdict take(const std::vector<long>& sources, const Array& experts, int64_t* found,
               long& count);
  Outcome answer_of(const Flight::Part& part) const;
  void expect_open(const Flight& flight) const;
  void add_answers(const Flight& flight, const Array& sums) const;

  const Geometry geometry_;
  const Layout layout_;
  const long rank_;
  const uint64_t epoch_;
  const int process_;
  const File pipe_;
  const std::shared_ptr<Mapping> arena_;
  std::unique_ptr<Wire> wire_;
  std::vector<PeerPointer> peers_;
  std::mutex sides_[NUM_SIDES];
  std::atomic<bool> in_use_[NUM_SIDES] = {false, false};
  std::atomic<int> changes_{0};
  Yields yields_[NUM_SIDES];
  bool closed_ = false;
  std::vector<std::vector<int32_t>> routes_;  // of the dispatch that is sent: tokens by rank
  std::vector<long> addressed_;               // ranks that it goes to
};

}  // namespace perfuse::a2a
