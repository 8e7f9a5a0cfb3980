// The order of things, and what chips do.
#include "fold.h"

#include <algorithm>

namespace perfuse::fold {

Fold::Fold(int chips, int shards, int64_t exchanges, const std::vector<int>& owners, Terms terms)
    : exchanges_(exchanges), terms_(std::move(terms)), owners_(shards, owners), counter_(owners_),
      out_(terms_.dispatch_fixed, terms_.dispatch_row, terms_.chip_rate),
      into_shard_(terms_.dispatch_fixed, terms_.dispatch_row, terms_.shard_rate),
      back_(terms_.combine_fixed, terms_.combine_row, terms_.shard_rate),
      into_chip_(terms_.combine_fixed, terms_.combine_row, terms_.chip_rate),
      chips_(size_t(chips)), shards_(size_t(shards)), instants_(chips + shards),
      expert_tokens_(owners.size(), 0), tally_(owners_),
      masks_(owners_.words > 1 ? size_t(chips) * size_t(shards) * size_t(owners_.words) : 0),
      met_(size_t(owners_.words)), known_ns_(terms_.computes.size()),
      batch_of_(size_t(exchanges), 0), num_open_(size_t(chips)),
      answers_(size_t(chips) * size_t(shards)) {
  if (terms_.chip_rate < terms_.shard_rate) {
    for (Shard& shard : shards_) {
      shard.into = std::make_unique<PartedLane>(terms_.shard_rate);
    }
  }
  for (Chip& chip : chips_) chip.into = PartedLane(terms_.chip_rate);
}

int Fold::add_pool(std::vector<uint16_t> experts, int64_t layers, int64_t size, int64_t each) {
  pools_.push_back(std::make_unique<Pool>(owners_, std::move(experts), layers, size, each));
  return num_pools() - 1;
}

void Fold::begin(int index, std::unique_ptr<Stretch> stretch) {
  for (Durations* lane : {&out_, &into_shard_, &back_, &into_chip_}) lane->reserve(stretch->tokens);
  Chip& chip = chips_[size_t(index)];
  chip.is_cut = chip.has_begun = false;
  chip.step = chip.exchange = 0;
  chip.begun_ns = chip.launching.begin_ns = stretch->start_ns;
  chip.launching.waited_ns = 0;
  chip.launching.wait_for_others();
  instants_.put(index, {stretch->start_ns, set_at(now_ns_, kOutside), 0,
                        ++num_ordered_ << kPlaceBits});
  chip.stretch = std::move(stretch);
}

void Fold::advance(int64_t until_ns, bool each_step) {
  is_told_ = false;
  tells_each_ = each_step;
  while (true) {
    const int first = instants_.first();
    const Moment moment = instants_.at(first);
    if (moment.at == kNever || (until_ns >= 0 && moment.at > until_ns)) break;
    if (is_told_ && moment.at > now_ns_) break;
    if (moment.at > kTimeMax) refuse("time has come to 2^61 ns, 73 years, which is the end of it");
    now_ns_ = moment.at;
    if (first < num_chips()) {
      chip_goes_on(first, moment);
    } else {
      shard_goes_on(first - num_chips(), moment);
    }
  }
  if (until_ns > now_ns_ && !is_told_) now_ns_ = until_ns;
}

// A stretch begins, or a launch has ended.
void Fold::chip_goes_on(int index, const Moment& moment) {
  Chip& chip = chips_[size_t(index)];
  Moment woken = moment;
  if (woken.part() == kTask) woken.order = ++num_ordered_ << kPlaceBits;
  instants_.drop(index);
  if (!chip.has_begun) {
    chip.has_begun = true;
    launch(index, moment.at, woken);
    return;
  }
  chip.launching.waited_ns += chip.launching.late_ns;
  chip.launching.late_ns = 0;
  while (chip.stretch) {
    if (chip.exchange < exchanges_) {
      if (dispatch(index, moment.at)) return;
      ++chip.exchange;
    } else {
      step_ended(index, moment.at);
      if (!chip.stretch) return;
    }
    const size_t at = size_t(chip.step * (exchanges_ + 1) + chip.exchange);
    if (chip.stretch->launches_ns[at]) {
      launch(index, moment.at, woken);
      return;
    }
  }
}

// The launch before the next exchange, by a task that was woken as that says. What the first of a
// stretch waits for was known when that was begun.
void Fold::launch(int index, int64_t now_ns, const Moment& woken) {
  Chip& chip = chips_[size_t(index)];
  const size_t at = size_t(chip.step * (exchanges_ + 1) + chip.exchange);
  int64_t took_ns = chip.stretch->launches_ns[at];
  Launching& launching = chip.launching;
  launching.begin_ns = now_ns;
  launching.woken = woken;
  if (at) launching.wait_for_others();
  if (!took_ns) launching.late_ns = 0;
  took_ns += launching.late_ns;
  if (!took_ns) {
    instants_.put(index, {now_ns, woken.set, woken.woken_by, woken.order});
  } else if (woken.set == set_at(now_ns, kOutside)) {
    instants_.put(index, {now_ns + took_ns, woken.set, 0, ++num_ordered_ << kPlaceBits});
  } else {
    instants_.put(index, {now_ns + took_ns, set_at(now_ns, kTask), woken.set, woken.order});
  }
}

void Fold::step_ended(int index, int64_t now_ns) {
  Chip& chip = chips_[size_t(index)];
  const Stretch& stretch = *chip.stretch;
  const int64_t* launches_ns = stretch.launches_ns.data() + chip.step * (exchanges_ + 1);
  int64_t compute_ns = chip.launching.waited_ns;
  chip.launching.waited_ns = 0;
  for (int64_t i = 0; i <= exchanges_; ++i) compute_ns += launches_ns[i];
  const bool is_last = chip.is_cut || chip.step + 1 == stretch.num_steps;
  const int64_t wait_ns = now_ns - chip.begun_ns - compute_ns;
  ended_.push_back({index, chip.step, now_ns, compute_ns, wait_ns, is_last});
  chip.begun_ns = now_ns;
  ++chip.step;
  chip.exchange = 0;
  if (is_last) chip.stretch.reset();
  is_told_ = is_told_ || is_last || tells_each_;
}

// Sends to each shard that owns an expert of the chip's tokens; false: to none.
bool Fold::dispatch(int index, int64_t now_ns) {
  Chip& chip = chips_[size_t(index)];
  const Stretch& stretch = *chip.stretch;
  tally_.clear();
  if (stretch.pool) {
    stretch.pool->draw(stretch.seed, uint64_t(index), stretch.first_step + uint64_t(chip.step),
                       uint64_t(chip.exchange), stretch.tokens, tally_);
  } else {
    const int64_t number = chip.step * exchanges_ + chip.exchange;
    const uint16_t* experts = stretch.experts.data() + number * stretch.tokens * stretch.each;
    counter_.count(experts, stretch.tokens, stretch.each, tally_, expert_tokens_.data());
  }
  if (chip.is_tried || !chip.others.empty()) settle(index, now_ns);
  chip.sent_order = ++num_ordered_ << kPlaceBits;
  const int64_t begin_ns = std::max(now_ns, chip.out_free_ns) + terms_.out_ns;
  const int64_t end_ns = send_all(index, chip, begin_ns);
  chip.out_free_ns = end_ns - terms_.out_ns;
  num_open_[size_t(index)] = int32_t(chip.num_sent);
  chip.count.messages_out += chip.num_sent;
  chip.count.rows_out += chip.rows;
  chip.count.busy_out_ns += end_ns - begin_ns;
  return chip.num_sent > 0;
}

// A dispatch leaves for a shard: returns its place in the queue. Nearly always it comes after all
// that are on their way there.
inline Queued& Fold::queued(Shard& shard, int64_t first_ns) {
  std::vector<Queued>& queue = shard.queue;
  const size_t end = queue.size();
  queue.emplace_back();
  Queued* all = queue.data();
  if (end == shard.taken || all[end - 1].first_ns <= first_ns) return all[end];
  return all[made_room(shard, end, first_ns)];
}

// What is in the tally, shard by shard; returns when the last byte has left, and gone its path.
int64_t Fold::send_all(int index, Chip& chip, int64_t first_ns) {
  const size_t shards = shards_.size(), chips = chips_.size(), words = size_t(owners_.words);
  const int64_t *out_ns = out_.by_rows(), *back_ns = into_chip_.by_rows();
  const Tally& tally = tally_;
  const uint32_t* all_rows = tally.rows.data();
  const int32_t layer = int32_t(chip.exchange);
  int64_t num_sent = 0, num_rows = 0, answers_ns = 0;
  for (size_t shard = 0; shard < shards; ++shard) {
    const uint32_t rows = all_rows[shard];
    if (!rows) continue;
    const uint64_t* mask = &tally.masks[shard * words];
    if (words > 1) std::copy_n(mask, words, &masks_[(shard * chips + size_t(index)) * words]);
    Shard& to = shards_[shard];
    // One by one: a whole one would be read back before its parts are written.
    Queued& one = queued(to, first_ns);
    one.first_ns = first_ns;
    one.mask = *mask;
    one.chip = index;
    one.layer = layer;
    one.rows = rows;
    one.choices = tally.choices[shard];
    if (to.is_idle && (&one == &to.queue[to.head] || to.into)) idle(int(shard));
    first_ns += out_ns[rows];
    answers_ns += back_ns[rows];
    num_rows += rows;
    ++num_sent;
  }
  chip.num_sent = num_sent;
  chip.rows = num_rows;
  chip.answers_ns = answers_ns;
  return first_ns;
}

std::vector<int64_t> Fold::expert_tokens() {
  std::vector<int64_t> all = expert_tokens_;
  for (const auto& pool : pools_) {
    const std::vector<int64_t>& drawn = pool->expert_tokens();
    for (size_t expert = 0; expert < all.size(); ++expert) all[expert] += drawn[expert];
  }
  return all;
}

}  // namespace perfuse::fold
