// Ranks that share no memory with this one: a UCX worker, and an endpoint to each of them.
//
// A rank writes into an image of the other's arena, of its own, as it would write into the arena.
// What it wrote in a region then travels as one tagged message. Receives are posted at all times,
// for each source, side and parity, into memory that UCX alone writes; what has come whole and
// sound is copied from there into this rank's arena, its round last. So rounds, credits, checks and
// sums are those of shared memory, and a region is as free as it is there.
//
// A tag begins with 51 bits that only ranks of the cluster can know, of this incarnation alone;
// what has other ones is thrown away unread. Nothing is encrypted: who reads along may write as
// well.
//
// One thread at a time is in UCX. Whoever waits drives it. Where nobody does, what is sent may
// still lie here: a socket was full, a connection not there yet, the end of a message in a buffer
// of UCX's. So a thread looks once a millisecond whether somebody drives; when all have been silent
// for a while it asks each other rank that something went to whether it has all (a flush, which
// takes a message there and back: too dear for each), and then sleeps until something is sent
// again.
#pragma once
#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "bell.h"
#include "life.h"
#include "mapping.h"
#include "parcel.h"

namespace perfuse::a2a {

class Wire;

// To one incarnation of a rank.
struct Link {
  Wire* wire;
  long rank;
  uint64_t epoch, token;
  std::shared_ptr<Mapping> image;
  std::atomic<Life>* life;
  ucp::Endpoint endpoint = nullptr;
  // Until UCX is done with it, by channel.
  Parcel parcels[4];
  void* sending[4] = {};
  uint64_t words[2][2] = {};
  bool unsure = false;  // whether all has left
};

class Wire {
 public:
  static constexpr int kTokenBits = 51;
  // How long a link or a wire that closes waits for what is under way.
  static constexpr int64_t kFarewellNs = 500'000'000;
  static constexpr unsigned kLookUs = 50;  // and how long it rests between looks

  // settings: lines of NAME=value, as UCX calls them without its prefix. Throws
  // std::invalid_argument with what UCX says.
  Wire(const std::string& library, const std::string& settings, uint64_t token,
       const Geometry& geometry, long rank, uint64_t epoch, std::shared_ptr<Mapping> arena);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // Where others reach this rank.
  std::string address();
  // `life` is the peer's, until `disconnect`. Throws std::invalid_argument where UCX refuses.
  std::shared_ptr<Link> connect(long rank, uint64_t epoch, uint64_t token,
                                const std::string& address, std::shared_ptr<Mapping> image,
                                std::atomic<Life>& life);
  void disconnect(Link& link);
  // What was written in a region of its image. Whoever cannot be sent to is dead.
  void send(Link& link, Side side, uint64_t round, long rows);
  void progress();
  // Others hear that this rank is dead, once they have all that was sent, or half a second later.
  void close();

  // For whoever sleeps at a bell of this rank.
  int pipe(Side side) const { return pipes_[side][1]; }
  // Until something comes, the side's pipe is written to, or so long.
  void sleep(Side side, int64_t nanoseconds);

 private:
  // A receive that is posted.
  struct Slot {
    Wire* wire;
    long source;
    int channel;
    std::unique_ptr<Mapping> buffer;
    size_t room;
    void* request = nullptr;
    bool done = false;
    bool stuck = false;  // of one who died: not posted again
    ucp::Status status = ucp::Status::OK;
    size_t length = 0;
  };
  static constexpr int kWordChannel = 4, kChannels = 5;  // 2 * side + parity, and words
  enum Word : uint64_t { HERE = 1, GONE = 2 };

  static void on_received(void*, ucp::Status, const ucp::Received*, void* slot);
  static void on_error(void* link, ucp::Endpoint, ucp::Status);
  void open(const std::string& settings);
  uint64_t tag(uint64_t token, int channel, long source) const;
  std::unique_ptr<Slot> new_slot(long source, int channel);
  void post(Slot& slot);
  void take(const Slot& slot);
  bool hear(const Slot& slot, Link* link);
  bool take_parcel(const Slot& slot, const Link* link);
  void take_all();
  void renew(long source);
  void sweep();
  void keep(void* given, Link& link);
  void sent_to(Link& link);
  bool flush();
  bool finished() const { return pending_.empty() && outgoing_.empty(); }
  void settle();
  void step();
  void say(Link& link, Word word);
  void cut(Link& link);
  void work_on();
  void end();

  const ucp::Library ucp_;
  const uint64_t token_;
  const Geometry geometry_;
  const Layout layout_;
  const long rank_;
  const uint64_t epoch_;
  const std::shared_ptr<Mapping> arena_;
  std::mutex mutex_;
  std::unique_ptr<ucp::ContextOpaque, void (*)(ucp::Context)> context_;
  std::unique_ptr<ucp::WorkerOpaque, void (*)(ucp::Worker)> worker_;
  int event_file_ = -1;
  int pipes_[NUM_SIDES][2] = {{-1, -1}, {-1, -1}};
  std::vector<std::shared_ptr<Link>> links_;   // by rank
  std::vector<std::unique_ptr<Slot>> slots_;   // [source][channel]
  std::vector<std::unique_ptr<Slot>> stuck_;
  std::vector<std::shared_ptr<Link>> closing_;  // UCX has not let go of them
  std::vector<Slot*> came_;
  std::vector<long> died_;     // since the last step
  std::vector<void*> pending_;    // requests that nobody else looks at
  std::vector<void**> outgoing_;  // those of links, each null once UCX is done with it
  bool changed_ = false, ending_ = false;
  uint64_t steps_ = 0;
  int64_t sent_ns_ = 0;
  bool restless_ = false;  // the thread is awake
  std::condition_variable sent_;
  std::thread worker_thread_;
};

// As `wait` of a bell: until missing() is 0 or less, or until_ns. Between two looks the processor
// is given away, since the other may be waiting for it; where that lately took long, others want it
// all the time, and whoever sleeps at once is let in sooner than who looks and is then put behind
// them.
template <class Missing>
void wait(Wire& wire, Side side, Bell& bell, Yields& yields, int64_t spin_ns, int64_t until_ns,
          Missing missing) {
  wire.progress();
  if (missing() <= 0) return;
  const int64_t end = std::min(now_ns() + spin_ns, until_ns);
  bool give = yields.allowed();
  for (int i = 0; give && (i < Yields::kMost || spin_ns > 0); ++i) {
    const int64_t before = now_ns();
    if (before >= (spin_ns > 0 ? end : until_ns)) break;
    sched_yield();
    const int64_t took = now_ns() - before;
    yields.took(took);
    give = took < Yields::kLongNs;
    wire.progress();
    if (missing() <= 0) return;
  }
  for (int64_t now = now_ns(); now < until_ns; now = now_ns()) {
    // What another thread takes for this side from here on writes to the pipe.
    if (sleep_in_loop(bell, missing) > 0) wire.sleep(side, until_ns - now);
    bell.sleeper.store(NOBODY);
    wire.progress();
    if (missing() <= 0) return;
  }
}

}  // namespace perfuse::a2a
