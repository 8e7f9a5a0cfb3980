// Steps of many like chips beside many like shards. What they do is said in __init__.py; plain.py
// is the same, written to be read.
//
// Only two things are waited for: the end of a chip's launch, and that of a shard's or, of an idle
// one, the first message that arrives. All between follows when it is asked for:
//
//   a chip's launch ends     its messages go into the queues of all shards, ordered by first bytes
//   a shard's launch ends    what came until now is taken in: then it has arrived. It answers, and
//                            takes what waits
//   the last answer is sent  the chip's answers are taken in, so its next launch is known
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "../native/arguments.h"
#include "instants.h"
#include "lane.h"
#include "shard.h"
#include "tally.h"

namespace perfuse::fold {

constexpr int64_t kTimeMax = int64_t{1} << 61;
constexpr int kPlaceBits = 17;  // of an order: what comes first within one task

// What a launch asks for by a count, as workers.hardware.sharing.base.duration_ns rounds it.
struct Term {
  bool of_rows;
  int64_t amount;
  double rate;
  int64_t whole_rate;  // the same where it is an integer; 0: it is none
};

struct Terms {
  int64_t chip_rate, shard_rate;      // bytes a second
  int64_t out_ns, back_ns;            // of the path, start-up included
  int64_t dispatch_fixed, dispatch_row, combine_fixed, combine_row;
  int64_t overhead_ns;
  std::vector<int64_t> reads_ns;      // by different experts
  std::vector<Term> computes;
  std::vector<double> slow;           // by shard
};

// What others do on a chip's machine and link.
struct Other {
  int64_t first_ns, bytes, limit_per_s;
};

// What others ask of a chip with a stretch; see terms.py.
struct UnderWay {
  bool is_launching;
  int64_t begin_ns, late_ns, step, exchange;
};

// A chip's launch: the one under way, or the next one where it is known when that begins.
struct Launching {
  int64_t begin_ns = 0, late_ns = 0;  // late: of these it waits for others
  Moment woken;                       // the task that begins it
  int64_t waited_ns = 0;              // all launches of the step, before this one
  int64_t held_ns = 0;                // until then others have the machine
  double slow = 1;

  void wait_for_others();
};

// A stretch, and where its chip is in it.
struct Stretch {
  int64_t start_ns, num_steps;
  std::vector<int64_t> launches_ns;  // [steps, exchanges + 1]
  // Given, [steps, exchanges, tokens, each], or drawn.
  std::vector<uint16_t> experts;
  int64_t tokens = 0, each = 0;
  Pool* pool = nullptr;
  uint64_t seed = 0, first_step = 0;
};

struct Ended {
  int64_t chip, step, end_ns, compute_ns, wait_ns, is_last;
};

// An answer on its way to a chip.
struct Answer {
  int64_t first_ns;
  uint64_t order;
  uint32_t rows;

  bool operator<(const Answer& other) const {
    return first_ns != other.first_ns ? first_ns < other.first_ns : order < other.order;
  }
};

struct Chip {
  std::unique_ptr<Stretch> stretch;
  bool is_cut = false, has_begun = false;
  int64_t step = 0, exchange = 0;  // whose launch runs, or whose answers are awaited
  int64_t begun_ns = 0;            // the step
  uint64_t sent_order = 0;         // of its messages
  int64_t num_sent = 0, rows = 0;
  int64_t answers_ns = 0;  // of all answers together, as they come in
  Launching launching;
  int64_t out_free_ns = 0;
  // What came in before the answers that are kept, and with these where others came beside them.
  PartedLane into, tried;
  bool is_tried = false;
  std::vector<Other> others;
  EndCount count;
};

// An answer, or another's message, into a chip; least_ns: before that it is not there.
struct Came {
  Answer answer;
  int64_t bytes, limit_per_s, least_ns;
  bool is_answer;
};

class Fold : public Owned {
 public:
  Fold(int chips, int shards, int64_t exchanges, const std::vector<int>& owners, Terms terms);
  const char* what() const override { return "a folded group"; }

  int num_chips() const { return int(chips_.size()); }
  int num_shards() const { return int(shards_.size()); }
  int num_experts() const { return int(expert_tokens_.size()); }
  int64_t num_exchanges() const { return exchanges_; }
  int64_t now_ns() const { return now_ns_; }
  const Terms& terms() const { return terms_; }
  const Owners& owners() const { return owners_; }

  int add_pool(std::vector<uint16_t> experts, int64_t layers, int64_t size, int64_t each);
  int num_pools() const { return int(pools_.size()); }
  Pool& pool(int index) { return *pools_[size_t(index)]; }

  bool has_stretch(int chip) const { return bool(chips_[size_t(chip)].stretch); }
  void begin(int chip, std::unique_ptr<Stretch> stretch);
  void cut(int chip) { chips_[size_t(chip)].is_cut = true; }
  // Others on a chip's machine and link; now_ns: of who says so.
  UnderWay under_way(int chip, int64_t now_ns) const;
  void hold(int chip, int64_t now_ns, int64_t until_ns, double slow);
  void lengthen(int chip, int64_t now_ns, int64_t by_ns);
  int64_t leave(int chip, int64_t now_ns, int64_t bytes);
  int64_t come(int chip, const Other& other);
  // until_ns < 0: as far as it goes.
  void advance(int64_t until_ns, bool each_step);
  int64_t next_ns() const { return instants_.at(instants_.first()).at; }
  std::vector<Ended>& ended() { return ended_; }

  const EndCount& chip_count(int index) const { return chips_[size_t(index)].count; }
  const Shard& shard(int index) const { return shards_[size_t(index)]; }
  std::vector<int64_t> expert_tokens();

 private:
  int shard_index(int shard) const { return num_chips() + shard; }
  void chip_goes_on(int chip, const Moment& woken);
  void step_ended(int chip, int64_t now_ns);
  bool dispatch(int chip, int64_t now_ns);
  int64_t send_all(int index, Chip& chip, int64_t first_ns);
  static Queued& queued(Shard& shard, int64_t first_ns);
  static size_t made_room(Shard& shard, size_t end, int64_t first_ns);
  void launch(int chip, int64_t now_ns, const Moment& woken);
  void answered(int chip);
  bool is_pending(int chip, int64_t now_ns) const;
  Answer taken_in(int chip, int64_t& at_ns);
  Answer replay(int chip, PartedLane& lane, int64_t until_ns, int64_t& at_ns);
  void settle(int chip, int64_t until_ns);
  void launch_after_answers(int chip);

  void shard_goes_on(int shard, const Moment& woken);
  void take_in(int shard, int64_t now_ns);
  void take_in_limited(Shard& shard, size_t at);
  int64_t arrival_ns(const Shard& shard, const Queued& one) const;
  void idle(int shard);
  void take(int shard, int64_t now_ns);
  Batch& batch_of(Shard& shard, int32_t layer);
  int64_t num_distinct(int shard, const Batch& batch);
  int64_t batch_ns(int shard, const Batch& batch);
  int64_t term_ns(size_t term, int64_t count);
  void answer(int shard, const Batch& batch, int64_t now_ns);

  int64_t exchanges_, now_ns_ = 0;
  Terms terms_;
  Owners owners_;
  Counter counter_;
  Durations out_, into_shard_, back_, into_chip_;
  std::vector<Chip> chips_;
  std::vector<Shard> shards_;
  std::vector<std::unique_ptr<Pool>> pools_;
  Instants instants_;
  uint64_t num_ordered_ = 0;
  bool is_told_ = false;  // a stretch has ended, or a step where each is told
  bool tells_each_ = false;
  std::vector<Ended> ended_;
  std::vector<int64_t> expert_tokens_;  // of choices that were given
  Tally tally_;
  std::vector<uint64_t> masks_, met_;  // [shards, chips, words], where there are several; [words]
  std::vector<std::vector<int64_t>> known_ns_;  // of each term, by count; -1: not yet
  std::vector<size_t> batch_of_;                // by layer, where it is in `batches`
  std::vector<int32_t> num_open_;  // [chips]: how many answers are not sent
  // [chips, shards]: those that were sent, the last one first.
  std::vector<Answer> answers_, late_;
  std::vector<Came> came_;
};

}  // namespace perfuse::fold
