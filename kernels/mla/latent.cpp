// An item of latent attention: groups of 16 heads walk over tiles of keys, split by split.
//
//   tile    256 keys at a multiple of 256: for each group scores (16 keys a step), probabilities;
//           then, strip by strip of 32 channels, latents are copied once and meet all groups
//   split   tiles at fixed positions share one running maximum; splits fold together in order
//
// A tile's rows come from memory while the first group's scores are made, and stay in the second
// cache for all the rest. Keys outside of what a row sees change no bit of it, whatever they hold.
#include "latent.h"

#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>

#include "../native/cpu.h"
#include "../native/widen.h"

namespace perfuse {
namespace {

constexpr int64_t kStepsAhead = 4;  // of 16 rows of codes: 37 KiB
constexpr long kGroupsOfRows = 2;    // up to so many, a copy of latents costs more than it saves
constexpr float kOnes[kGroupHeads] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
constexpr float kNoScore = -std::numeric_limits<float>::infinity();

// Keys begin .. end - 1 of a tile, or of a sequence.
struct Range {
  int64_t begin, end;
  bool empty() const { return end <= begin; }
  Range within(int64_t first, int64_t last) const {
    return {std::max(begin, first), std::min(end, last)};
  }
};

Range seen_by(const LatentPlan& plan, const LatentPlan::Sequence& sequence, int64_t token) {
  const int64_t position = sequence.start + token;
  return {sequence.begin_of(position, plan.window), sequence.end_of(position)};
}

// One token's up to 16 heads: splits fold into the caller's rows, in order.
class GroupOut {
 public:
  GroupOut(const LatentPlan& plan, const LatentCall& call, int64_t row, long group)
      : latent_(plan.latent), stride_(plan.stride()), first_(group * kGroupHeads),
        heads_(int(std::min<long>(kGroupHeads, plan.num_heads - first_))),
        out_(call.out + row * call.out_stride + first_ * plan.latent),
        lse_(call.lse ? call.lse + row * plan.num_heads + first_ : nullptr) {}

  void fold(const Table& table, const LatentState& state, const float* sums, LatentState& total,
            bool is_first) const {
    alignas(64) float factors[kGroupHeads], next[kGroupHeads];
    if (is_first) {
      total = state;
    } else {
      table.latent.fold(&total, &state, factors, next);
    }
    for (int head = 0; head < heads_; ++head) {
      float* out = out_ + head * latent_;
      const float* in = sums + head * stride_;
      if (is_first) {
        std::memcpy(out, in, size_t(latent_) * sizeof(float));
      } else {
        table.latent.blend(in, next[head], latent_, factors[head], out);
      }
    }
  }

  void finish(const Table& table, const LatentState& total) const {
    for (int head = 0; head < heads_; ++head) {
      float* out = out_ + head * latent_;
      // Without a finite score there is nothing to divide by; NaN stays NaN.
      const float sum = total.total[head];
      table.latent.scaled(out, sum < FLT_MIN ? 0.0f : 1.0f / sum, latent_, out);
      if (lse_) lse_[head] = total.most[head] + std::log(total.total[head]);
    }
  }

  void finish_unseen() const {
    std::memset(out_, 0, size_t(heads_ * latent_) * sizeof(float));
    if (lse_) std::fill_n(lse_, heads_, kNoScore);
  }

 private:
  const long latent_, stride_, first_;
  const int heads_;
  float* const out_;
  float* const lse_;
};

// A thread's own memory for one item at a time; grows to the largest item that the thread has met.
class Workspace {
 public:
  static Workspace& begin(size_t bytes) {
    thread_local Workspace workspace;
    if (workspace.memory_.bytes() < bytes) {
      workspace.memory_ = Memory();
      workspace.memory_ = Memory(bytes);
    }
    workspace.used_ = 0;
    return workspace;
  }
  template <class T>
  T* take(long count) {
    T* piece = reinterpret_cast<T*>(memory_.data() + used_);
    used_ += bytes_of<T>(count);
    return piece;
  }
  template <class T>
  static size_t bytes_of(long count) {
    return Scratch::round_up(size_t(count) * sizeof(T));
  }

 private:
  Memory memory_;
  size_t used_ = 0;
};

class Item {
 public:
  Item(const LatentCache& cache, long layer, const LatentPlan& plan, const LatentItem& item,
       const LatentCall& call)
      : cache_(cache), plan_(plan), item_(item), call_(call), layer_(layer),
        sequence_(plan.sequences[size_t(item.sequence)]), table_(kernels()),
        kind_(cache.kind == F32 ? F32 : BF16), per_(table_.latent.per[kind_]),
        units_(cache.width() / per_), tile_units_(kLatentTile / per_),
        num_groups_(item.num_tokens * plan.groups) {
    const long expanded = cache.kind == I8 ? kLatentTile * cache.width() : 0;
    const long sums = item.partial < 0 ? num_groups_ * plan.partial_floats() : 0;
    Workspace& workspace = Workspace::begin(
        Workspace::bytes_of<uint32_t>(num_groups_ * units_ * kGroupHeads) +
        Workspace::bytes_of<uint32_t>(num_groups_ * tile_units_ * kGroupHeads) +
        Workspace::bytes_of<uint32_t>(tile_units_ * kStripChannels) +
        Workspace::bytes_of<float>(kLatentTile * kGroupHeads) +
        Workspace::bytes_of<float>(num_groups_ * kGroupHeads) + Workspace::bytes_of<float>(sums) +
        Workspace::bytes_of<LatentState>(num_groups_) + Workspace::bytes_of<Range>(num_groups_) +
        2 * Workspace::bytes_of<char>(num_groups_) + Workspace::bytes_of<uint16_t>(cache.width()) +
        Workspace::bytes_of<uint32_t>(cache.width()) + Workspace::bytes_of<uint16_t>(expanded));
    queries_ = workspace.take<uint32_t>(num_groups_ * units_ * kGroupHeads);
    probabilities_ = workspace.take<uint32_t>(num_groups_ * tile_units_ * kGroupHeads);
    strip_ = workspace.take<uint32_t>(tile_units_ * kStripChannels);
    scores_ = workspace.take<float>(kLatentTile * kGroupHeads);
    factors_ = workspace.take<float>(num_groups_ * kGroupHeads);
    totals_ = workspace.take<LatentState>(num_groups_);
    ranges_ = workspace.take<Range>(num_groups_);
    seen_ = workspace.take<char>(num_groups_);
    begun_ = workspace.take<char>(num_groups_);
    rounded_ = workspace.take<uint16_t>(cache.width());
    widened_ = workspace.take<uint32_t>(cache.width());
    expanded_ = workspace.take<uint16_t>(expanded);
    sums_ = item.partial < 0 ? workspace.take<float>(sums) : call.partials + item.partial;
  }

  void run() {
    std::memset(seen_, 0, size_t(num_groups_));
    if (item_.end_key > item_.begin_key) pack_queries();
    for (int64_t key = item_.begin_key; key < item_.end_key;) {
      const int64_t end = std::min(item_.end_key, latent_split_end(key));
      run_split(key, end);
      if (item_.partial < 0) fold_split();
      key = end;
    }
    if (item_.partial < 0) finish();
  }

 private:
  LatentState& state(long group) const {
    return *reinterpret_cast<LatentState*>(sums_ + group * plan_.partial_floats());
  }
  float* sums(long group) const { return sums_ + group * plan_.partial_floats() + 2 * kGroupHeads; }
  int64_t token(long group) const { return item_.first_token + group / plan_.groups; }
  GroupOut result(long group) const {
    return GroupOut(plan_, call_, sequence_.first_row + token(group), group % plan_.groups);
  }

  // [group][unit][16 heads]; the last group of a token has zeros where heads end.
  void pack_queries() {
    std::memset(queries_, 0, size_t(num_groups_ * units_ * kGroupHeads) * 4);
    const long width = cache_.width();
    for (int64_t t = 0; t < item_.num_tokens; ++t) {
      const float* row = call_.q + (sequence_.first_row + item_.first_token + t) * call_.q_stride;
      for (long head = 0; head < plan_.num_heads; ++head, row += width) {
        const void* from = row;
        if (kind_ == BF16) from = rounded(row, width);
        const long group = t * plan_.groups + head / kGroupHeads;
        uint32_t* out = queries_ + group * units_ * kGroupHeads + head % kGroupHeads;
        const char* bytes = static_cast<const char*>(from);
        for (long u = 0; u < units_; ++u) std::memcpy(out + u * kGroupHeads, bytes + 4 * u, 4);
      }
    }
  }

  // As units of bf16.
  const void* rounded(const float* row, long width) const {
    table_.to_bf16(row, width, rounded_);
    if (per_ == 2) return rounded_;
    widen_bf16(reinterpret_cast<const uint32_t*>(rounded_), width / 2, widened_);
    return widened_;
  }

  char* row_at(int64_t position) const {
    const int64_t slot = position - sequence_.first_key;
    const int32_t block = sequence_.blocks[slot / cache_.block_size];
    return cache_.row(block, layer_, slot % cache_.block_size);
  }

  void run_split(int64_t begin, int64_t end) {
    for (long group = 0; group < num_groups_; ++group) begun_[group] = 0;
    for (int64_t tile = begin / kLatentTile * kLatentTile; tile < end; tile += kLatentTile) {
      const Range keys{std::max(begin, tile) - tile, std::min(end, tile + kLatentTile) - tile};
      find_rows(tile, keys);
      asked_ = 0;
      for (long group = 0; group < num_groups_; ++group) {
        const Range seen = seen_by(plan_, sequence_, token(group)).within(begin, end);
        ranges_[group] = {std::max(seen.begin - tile, keys.begin),
                          std::min(seen.end - tile, keys.end)};
        if (!ranges_[group].empty()) score(tile, group);
      }
      add_values(keys);
    }
  }

  // Where the tile's rows lie, 16 by 16; int8 becomes bf16 in the second cache.
  void find_rows(int64_t tile, const Range& keys) {
    const long width = cache_.width();
    for (int64_t step = keys.begin / kStepKeys * kStepKeys; step < keys.end; step += kStepKeys) {
      const char* row = row_at(tile + step);
      // Codes are read here, those of others by the scores, which ask for them.
      const int64_t later = std::min(tile + step + kStepsAhead * kStepKeys, item_.end_key - 1);
      const char* ahead = cache_.kind == I8 ? row_at(later / kStepKeys * kStepKeys) : nullptr;
      for (int64_t key = step; key < step + kStepKeys; ++key, row += cache_.row_bytes) {
        rows_[key] = row;
        if (cache_.kind != I8) continue;
        for (size_t at = 0; at < cache_.row_bytes; at += 64, ahead += 64) {
          __builtin_prefetch(ahead, 0, 2);
        }
        uint16_t* out = expanded_ + key * width;
        const int8_t* codes = reinterpret_cast<const int8_t*>(row);
        const float* scales = reinterpret_cast<const float*>(row + width);
        table_.latent.widen(codes, scales[0], cache_.latent, out);
        table_.latent.widen(codes + cache_.latent, scales[1], cache_.rope, out + cache_.latent);
        rows_[key] = reinterpret_cast<const char*>(out);
      }
    }
  }

  // The rows that scores will come to after those of this step, if nobody has asked for them.
  const char* ahead(int64_t tile, int64_t step) {
    if (cache_.kind == I8 || step < asked_ || tile + step + kStepKeys >= item_.end_key) {
      return rows_[step];
    }
    asked_ = step + kStepKeys;
    return row_at(tile + asked_);
  }

  void score(int64_t tile, long group) {
    const Range& range = ranges_[group];
    const uint32_t* queries = queries_ + group * units_ * kGroupHeads;
    for (int64_t step = range.begin / kStepKeys * kStepKeys; step < range.end; step += kStepKeys) {
      table_.latent.scores[kind_](rows_[step], rows_[step + 1] - rows_[step], queries, units_,
                                  ahead(tile, step), scores_ + step * kGroupHeads);
    }
    if (!begun_[group]) {
      std::fill_n(state(group).most, kGroupHeads, kNoScore);
      std::fill_n(state(group).total, kGroupHeads, 0.0f);
    }
    table_.latent.softmax[kind_](scores_, range.begin, range.end, call_.scale, &state(group),
                                 factors_ + group * kGroupHeads, probabilities(group));
  }

  uint32_t* probabilities(long group) const {
    return probabilities_ + group * tile_units_ * kGroupHeads;
  }

  void add_values(const Range& keys) {
    for (long channel = 0; channel < plan_.latent; channel += kStripChannels) {
      const int64_t size = table_.latent.piece_keys;
      for (int64_t piece = keys.begin / size * size; piece < keys.end; piece += size) {
        add_piece(keys.within(piece, piece + size), channel);
      }
    }
    for (long group = 0; group < num_groups_; ++group) begun_[group] |= !ranges_[group].empty();
  }

  // One strip of some of the tile's keys, for all groups.
  void add_piece(const Range& keys, long channel) {
    const LatentTable& table = table_.latent;
    const bool copies = !table.row_values[kind_] || num_groups_ > kGroupsOfRows;
    if (copies) {
      const long first = keys.begin / per_, count = (keys.end + per_ - 1) / per_ - first;
      table.strip[kind_](rows_ + first * per_, channel, count, strip_ + first * kStripChannels);
    }
    for (long group = 0; group < num_groups_; ++group) {
      const Range seen = ranges_[group].within(keys.begin, keys.end);
      if (seen.empty()) continue;
      const float* factors = begun_[group] ? factors_ + group * kGroupHeads : nullptr;
      if (seen.begin > ranges_[group].begin) factors = kOnes;
      float* out = sums(group) + channel;
      if (copies) {
        table.values[kind_](strip_, probabilities(group), seen.begin, seen.end, factors, out,
                            plan_.stride());
      } else {
        table.row_values[kind_](rows_, channel, probabilities(group), seen.begin, seen.end,
                                factors, out, plan_.stride());
      }
    }
  }

  void fold_split() {
    for (long group = 0; group < num_groups_; ++group) {
      if (!begun_[group]) continue;
      result(group).fold(table_, state(group), sums(group), totals_[group], !seen_[group]);
      seen_[group] = 1;
    }
  }

  void finish() {
    for (long group = 0; group < num_groups_; ++group) {
      if (seen_[group]) {
        result(group).finish(table_, totals_[group]);
      } else {
        result(group).finish_unseen();
      }
    }
  }

  const LatentCache& cache_;
  const LatentPlan& plan_;
  const LatentItem& item_;
  const LatentCall& call_;
  const long layer_;
  const LatentPlan::Sequence& sequence_;
  const Table& table_;
  const Kind kind_;             // of the arithmetic
  const long per_;              // keys, or channels, of a unit
  const long units_;            // of a row
  const long tile_units_;       // of a tile's keys
  const long num_groups_;       // token by token
  uint32_t* queries_;
  uint32_t* probabilities_;     // [group][unit of keys][16 heads]
  uint32_t* strip_;
  float* scores_;
  float* factors_;
  LatentState* totals_;         // over the splits so far
  Range* ranges_;               // what a group sees of the tile
  char *seen_, *begun_;         // whether a group saw a key: in an earlier split, in this one
  uint16_t *rounded_, *expanded_;
  uint32_t* widened_;
  float* sums_;                 // [group][state, sums of this split]
  int64_t asked_ = 0;           // rows of the tile before this one have been asked for
  const char* rows_[kLatentTile];
};

}  // namespace

void attend_latents(const LatentCache& cache, long layer, const LatentPlan& plan, long item,
                    const LatentCall& call) {
  Item(cache, layer, plan, plan.items[size_t(item)], call).run();
}

void merge_latents(const LatentPlan& plan, long item, const LatentCall& call) {
  const LatentMerge& merge = plan.merges[size_t(item)];
  const LatentItem* items = &plan.items[size_t(merge.first_item)];
  const LatentPlan::Sequence& sequence = plan.sequences[size_t(items->sequence)];
  const int64_t token = items->first_token + merge.group / plan.groups;
  const Range seen = seen_by(plan, sequence, token);
  const GroupOut result(plan, call, sequence.first_row + token, merge.group % plan.groups);
  const Table& table = kernels();
  LatentState total;
  bool is_first = true;
  for (long i = 0; i < merge.num_items; ++i) {
    if (seen.within(items[i].begin_key, items[i].end_key).empty()) continue;
    const float* part = call.partials + items[i].partial + merge.group * plan.partial_floats();
    result.fold(table, *reinterpret_cast<const LatentState*>(part), part + 2 * kGroupHeads, total,
                is_first);
    is_first = false;
  }
  if (is_first) {
    result.finish_unseen();
  } else {
    result.finish(table, total);
  }
}

}  // namespace perfuse
