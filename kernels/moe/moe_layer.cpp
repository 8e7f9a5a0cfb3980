// The phases of a layer:
//
//   route    tokens converted; pairs (token, expert) sorted by expert
//   gather   rows of the experts that have several, interleaved into blocks
//   up       items are panels of gate and up: products, activation, and at once the blocks that
//            `down` reads; where 128 channels share a scale, the last of their panels writes them
//   down     few pairs: items are panels of an expert, their products are kept by pair; memory is
//            read in long runs (a jump costs a core 0.5 to 1 us)
//   sum      each token's products, in order of its experts
//
//   down     many pairs: items are 32 columns of the output, for all active experts one after
//            another: nobody else adds to these columns, in the same order, and nothing is kept
#include <algorithm>
#include <atomic>

#include "../native/blocks.h"
#include "../native/walk.h"
#include "moe.h"

namespace perfuse {
namespace {

// Beyond this much of kept products the second way of `down`: they should stay in a second-level
// cache, and products of that many rows take longer than a jump.
constexpr size_t kKeptBytesMax = size_t{1} << 20;
// Panels of the output that an item of `sum` adds up: 1 KiB of each product.
constexpr long kSumPanels = 8;
// Cores that do not share a cache pass a line on in 0.2 us or more.
constexpr long kCountersInLine = 16;
constexpr long kPiecePanels = kGroup / kLanes;

// A line that is about to be written is fetched from whoever has it, while there is other work.
inline void will_write(const void* p) {
#if defined(__x86_64__)
  // Not the builtin: without a processor named, it asks for a line to read.
  asm volatile("prefetchw %0" ::"m"(*static_cast<const char*>(p)));
#else
  __builtin_prefetch(p, 1);
#endif
}

// An expert that some token names; its pairs are neighbours.
struct Active {
  int32_t expert, first_pair, num_pairs, num_blocks;
};

// Pairs that form a block of several rows.
struct Span {
  int32_t first_pair, rows;
};

struct Counts {
  long active, spans;
};

// A layer's call with views of its room. Each thread has its own; what they point to is shared.
class Layer {
 public:
  Layer(const Moe& moe, const MoeCall& call, Room room)
      : moe_(moe), call_(call), table_(kernels()), num_pairs_(call.tokens * call.top),
        scaled_(moe.kind == I8 || moe.kind == I4), pieces_(scaled_ ? num_groups(moe.inner) : 0),
        keeps_(size_t(num_pairs_ * moe.down_panels) * kColumns * 4 <= kKeptBytesMax),
        tokens_(moe.kind, moe.hidden, call.tokens, room),
        pairs_(moe.kind, moe.hidden, num_pairs_, room),
        inner_(moe.kind, moe.inner, num_pairs_, room), counts_(room.take<Counts>(1)),
        ends_(room.take<int32_t>(size_t(moe.experts))),
        pair_tokens_(room.take<int32_t>(size_t(num_pairs_))),
        pair_weights_(room.take<float>(size_t(num_pairs_))),
        active_(room.take<Active>(size_t(std::min(num_pairs_, moe.experts)))),
        spans_(room.take<Span>(size_t(num_pairs_))),
        token_pairs_(room.take<int32_t>(size_t(num_pairs_))),
        token_counts_(room.take<int32_t>(size_t(call.tokens))),
        counters_((pieces_ + kCountersInLine - 1) / kCountersInLine * kCountersInLine),
        missing_(room.take<std::atomic<int32_t>>(
            size_t(std::min(num_pairs_, moe.experts) * counters_))),
        values_(room.take<float>(scaled_ ? size_t(num_pairs_ * moe.inner) : 0)),
        products_(room.take<float>(keeps_ ? size_t(num_pairs_ * moe.down_panels) * kColumns : 0)),
        bytes_(room.used()) {}

  size_t bytes() const { return bytes_; }

  void run(Team& team) const {
    team.each(1 + call_.tokens, [&](long item) {
      if (item == 0) return route();
      convert(item - 1);
    });
    team.each(counts_->spans, [&](long item) {
      const Span& span = spans_[item];
      pairs_.gather(pairs_.at(span.first_pair, span.rows), tokens_, pair_tokens_ + span.first_pair);
    });
    team.each_run(counts_->active * moe_.up_panels,
                  [&](long begin, long end) { up_run(begin, end); });
    if (!keeps_) {
      team.each(moe_.down_panels, [&](long item) { down_columns(item); });
      return;
    }
    team.each_run(counts_->active * moe_.down_panels, [&](long begin, long end) {
      for (long item = begin; item < end; ++item) {
        down(item / moe_.down_panels, item % moe_.down_panels);
      }
    });
    team.each(call_.tokens * num_sums(),
              [&](long item) { sum(item / num_sums(), item % num_sums()); });
  }

 private:
  // Pieces of a token's sum; one cache line or more apart.
  long num_sums() const { return (moe_.down_panels + kSumPanels - 1) / kSumPanels; }

  int32_t expert_of(long place) const {
    const int32_t id = call_.experts_TK[place];
    if (id < 0 || id >= call_.num_ids) return -1;
    return call_.slots ? call_.slots[id] : id;
  }

  void route() const {
    std::fill_n(ends_, moe_.experts, 0);
    for (long place = 0; place < num_pairs_; ++place) {
      const int32_t expert = expert_of(place);
      if (expert >= 0) ++ends_[expert];
    }
    int32_t pair = 0;
    Counts counts{};
    for (long e = 0; e < moe_.experts; ++e) {
      const int32_t count = ends_[e];
      ends_[e] = pair;
      if (count == 0) continue;
      const long blocks = Split::of(table_, moe_.kind, count).count;
      const Active active{int32_t(e), pair, count, int32_t(blocks)};
      for (long b = 0; b < blocks; ++b) {
        const Span span = span_of(active, b);
        if (span.rows > 1) spans_[counts.spans++] = span;
      }
      for (long piece = 0; piece < pieces_; ++piece) {
        missing_[counts.active * counters_ + piece].store(panels_in(piece),
                                                        std::memory_order_relaxed);
      }
      active_[counts.active++] = active;
      pair += count;
    }
    for (long place = 0; place < num_pairs_; ++place) {
      const int32_t expert = expert_of(place);
      if (expert < 0) continue;
      const int32_t at = ends_[expert]++;
      pair_tokens_[at] = int32_t(place / call_.top);
      pair_weights_[at] = call_.weights_TK[place];
    }
    // By token, in order of its experts: a sum's order must not depend on what is beside it.
    std::fill_n(token_counts_, call_.tokens, 0);
    for (int32_t at = 0; at < pair; ++at) {
      const long token = pair_tokens_[at];
      token_pairs_[token * call_.top + token_counts_[token]++] = at;
    }
    *counts_ = counts;
  }

  Span span_of(const Active& active, long b) const {
    const Split split{active.num_pairs, active.num_blocks, table_.rows_max[moe_.kind],
                      table_.has_tiles(moe_.kind)};
    const long begin = split.begin(b);
    return {int32_t(active.first_pair + begin), int32_t(split.begin(b + 1) - begin)};
  }

  // Panels of gate and up whose channels share a scale.
  int32_t panels_in(long piece) const {
    return int32_t(std::min(kPiecePanels, moe_.up_panels - piece * kPiecePanels));
  }

  void convert(long token) const {
    const float* row = call_.hidden_TH + token * call_.hidden_stride;
    const Block block = tokens_.at(token, 1);
    for (long at = 0; at < moe_.hidden; at += kGroup) {
      tokens_.write(table_, block, row + at, 0, at, std::min(long{kGroup}, moe_.hidden - at));
    }
  }

  // Panels begin to end of all active experts, one expert after another. Whoever multiplies the
  // last panel of a group that shares a scale sees what the others wrote, and writes the group.
  void up_run(long begin, long end) const {
    while (begin < end) {
      const long i = begin / moe_.up_panels, panel = begin % moe_.up_panels;
      const long piece = panel / kPiecePanels;
      const long piece_end = std::min((piece + 1) * kPiecePanels, moe_.up_panels);
      const long next = std::min(end, begin + piece_end - panel);
      for (long item = begin; item < next; ++item) up(i, item - i * moe_.up_panels);
      const int32_t done = int32_t(next - begin);
      begin = next;
      if (!scaled_) continue;
      std::atomic<int32_t>& missing = missing_[i * counters_ + piece];
      if (missing.fetch_sub(done, std::memory_order_acq_rel) == done) write_inner(i, piece);
    }
  }

  void write_inner(long i, long piece) const {
    const Active& e = active_[i];
    const long begin = piece * kGroup, size = std::min(long{kGroup}, moe_.inner - begin);
    for (long b = 0; b < e.num_blocks; ++b) {
      const Span span = span_of(e, b);
      inner_.write(table_, inner_.at(span.first_pair, span.rows),
                   values_ + long{span.first_pair} * moe_.inner + begin, moe_.inner, begin, size);
    }
  }

  void up(long i, long panel) const {
    const Active& e = active_[i];
    const long column = panel * kLanes, width = std::min(long{kLanes}, moe_.inner - column);
    const char* data = moe_.up(e.expert) + size_t(panel) * moe_.up_stride;
    const char* next = panel + 1 < moe_.up_panels ? data + moe_.up_stride
                       : i + 1 < counts_->active  ? moe_.up(active_[i + 1].expert)
                                                  : moe_.down(active_[0].expert);
    times_blocks(
        table_, moe_.kind, data, moe_.up_stride, next, tokens_.units, kGroupUnits, e.num_blocks,
        [&](long b) {
          const Span span = span_of(e, b);
          return span.rows == 1 ? tokens_.at(pair_tokens_[span.first_pair], 1)
                                : pairs_.at(span.first_pair, span.rows);
        },
        [&](long b, const float* product) {
          const Span span = span_of(e, b);
          alignas(64) float values[kBlockRowsMax * kLanes];
          table_.silu_product(product, span.rows, values, kLanes);
          if (!scaled_) {
            inner_.write(table_, inner_.at(span.first_pair, span.rows), values, kLanes, column,
                         width);
            return;
          }
          float* to = values_ + long{span.first_pair} * moe_.inner + column;
          for (int m = 0; m < span.rows; ++m, to += moe_.inner) {
            std::memcpy(to, values + m * kLanes, size_t(width) * 4);
          }
        });
  }

  Block inner_block(const Active& e, long b) const {
    const Span span = span_of(e, b);
    return inner_.at(span.first_pair, span.rows);
  }

  void down(long i, long panel) const {
    const Active& e = active_[i];
    const char* data = moe_.down(e.expert) + size_t(panel) * moe_.down_stride;
    const char* next = panel + 1 < moe_.down_panels ? data + moe_.down_stride
                       : i + 1 < counts_->active    ? moe_.down(active_[i + 1].expert)
                                                    : data;
    const long stride = moe_.down_panels * kColumns;
    // `sum` of the call before read these lines, perhaps elsewhere.
    for (long m = 0; m < e.num_pairs; ++m) {
      const float* to = products_ + (e.first_pair + m) * stride + panel * kColumns;
      will_write(to);
      will_write(to + kLanes);
    }
    times_blocks(
        table_, moe_.kind, data, moe_.down_stride, next, inner_.units, kGroupUnits, e.num_blocks,
        [&](long b) { return inner_block(e, b); },
        [&](long b, const float* product) {
          const Span span = span_of(e, b);
          float* to = products_ + span.first_pair * stride + panel * kColumns;
          for (int m = 0; m < span.rows; ++m) {
            std::memcpy(to + m * stride, product + m * kColumns, kColumns * 4);
          }
        });
  }

  void sum(long token, long piece) const {
    const long begin = piece * kSumPanels * kColumns;
    const long size = std::min(kSumPanels * kColumns, moe_.hidden - begin);
    clear(token, begin, size);
    const int32_t* pairs = token_pairs_ + token * call_.top;
    for (int32_t k = 0; k < token_counts_[token]; ++k) {
      add(products_ + pairs[k] * moe_.down_panels * kColumns + begin, pairs[k], begin, size);
    }
  }

  void down_columns(long panel) const {
    const long column = panel * kColumns, width = std::min(long{kColumns}, moe_.hidden - column);
    for (long t = 0; t < call_.tokens; ++t) clear(t, column, width);
    for (long i = 0; i < counts_->active; ++i) {
      const Active& e = active_[i];
      const char* data = moe_.down(e.expert) + size_t(panel) * moe_.down_stride;
      const bool last = i + 1 == counts_->active;
      const char* next = moe_.down(active_[last ? 0 : i + 1].expert) +
                         size_t(last ? panel + 1 : panel) * moe_.down_stride;
      times_blocks(
          table_, moe_.kind, data, moe_.down_stride, next, inner_.units, kGroupUnits, e.num_blocks,
          [&](long b) { return inner_block(e, b); },
          [&](long b, const float* product) {
            const Span span = span_of(e, b);
            for (int m = 0; m < span.rows; ++m) {
              add(product + m * kColumns, span.first_pair + m, column, width);
            }
          });
    }
  }

  void clear(long token, long column, long width) const {
    const size_t item = moe_.kind == F32 ? 8 : 4;
    std::memset(static_cast<char*>(call_.sums_TH) + size_t(token * moe_.hidden + column) * item, 0,
                size_t(width) * item);
  }

  void add(const float* product, long pair, long column, long width) const {
    const long at = long{pair_tokens_[pair]} * moe_.hidden + column;
    if (moe_.kind == F32) {
      table_.add_on_grid(product, pair_weights_[pair], width,
                         static_cast<double*>(call_.sums_TH) + at);
    } else {
      table_.add_scaled(product, pair_weights_[pair], width,
                        static_cast<float*>(call_.sums_TH) + at);
    }
  }

  const Moe& moe_;
  const MoeCall& call_;
  const Table& table_;
  const long num_pairs_;
  const bool scaled_;      // int8 and int4: kGroup channels share a scale
  const long pieces_;      // of the inner channels, where they have scales
  const bool keeps_;       // the first way of `down`
  const Blocks tokens_;    // each token's hidden state, a block of its own
  const Blocks pairs_;     // the same, by pair, in blocks of several rows
  const Blocks inner_;     // between the products, by pair
  Counts* counts_;
  int32_t* ends_;          // by expert: where its next pair goes
  int32_t* pair_tokens_;   // by pair
  float* pair_weights_;    // by pair
  Active* active_;
  Span* spans_;
  int32_t* token_pairs_;   // by token: its pairs, by expert
  int32_t* token_counts_;  // by token: how many
  const long counters_;    // places for pieces of an expert, in cache lines of its own
  std::atomic<int32_t>* missing_;  // by active expert and group of inner channels: panels to come
  float* values_;          // by pair: inner channels in fp32 until their group is whole
  float* products_;        // by pair, kept for `sum`
  const size_t bytes_;     // of room taken
};

}  // namespace

size_t moe_room_bytes(const Moe& moe, long tokens, long top) {
  MoeCall call{};
  call.tokens = tokens;
  call.top = top;
  return Layer(moe, call, Room(nullptr)).bytes();
}

void run_moe(Team& team, const Moe& moe, char* room, const MoeCall& call) {
  Layer(moe, call, Room(room)).run(team);
}

}  // namespace perfuse
