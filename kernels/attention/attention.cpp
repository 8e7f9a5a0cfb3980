// An item of attention: query rows walk over the chunks that they see, span by span.
//
// A span is one chain of chunks at fixed positions, in the kind's arithmetic; spans merge in order,
// in float64. Chunks and spans that a row does not see leave its bits alone. So they depend on its
// position, its query and the bytes of its keys and values, on nothing else.
//
// What no row of an item sees lies in blocks that need not be there: they are not read. What lies
// beside seen keys in a tile has weight zero, which is nothing unless it is NaN or infinite: where
// results are so, the item is done again, token by token, with zeros in place of what is not seen.
#include "attention.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "../native/cpu.h"
#include "../native/widen.h"

namespace perfuse {
namespace {

constexpr float kLog2E = 1.44269504f;
constexpr double kLn2 = 0.693147180559945309;

static_assert(kSpan % kChunkTokens == 0, "chunks do not cross spans");

// What a tile outside of the keys points at: zeros, as long as the largest K or V of a tile.
alignas(64) const char kNothing[kTileTokens * kHeadDimMax * 4] = {};

// Positions of keys begin .. end - 1.
struct Range {
  int64_t begin, end;
};

// What any of an item's rows sees, in all spans.
Range seen_by(const AttentionPlan& plan, const AttentionItem& item) {
  const AttentionPlan::Sequence& sequence = plan.sequences[size_t(item.sequence)];
  const int64_t first = sequence.start + item.first_token;
  return {sequence.begin_of(first, plan.window), sequence.end_of(first + item.num_tokens - 1)};
}

// Walks over the tiles of one sequence's keys in one layer and head.
class Tiles {
 public:
  // From the tile that begins at this position on.
  Tiles(const KvCache& cache, const AttentionPlan::Sequence& sequence, long layer, long head,
        int64_t position, const Range& seen)
      : base_(cache.tile(0, layer, head, 0)), block_bytes_(long(cache.block_bytes)),
        tile_bytes_(long(cache.tile_bytes)), per_block_(cache.block_size / kTileTokens) {
    const int64_t first = std::max(position, seen.begin) / kTileTokens;
    before_ = first - position / kTileTokens;
    left_ = (seen.end + kTileTokens - 1) / kTileTokens - first;
    const int64_t place = first - sequence.first_key / kTileTokens;
    block_ = sequence.blocks + place / per_block_;
    tile_ = place % per_block_;
  }

  // The next chunk's; kNothing where no key of a tile is seen.
  void next(const char** tiles) {
    for (int t = 0; t < kChunkTiles; ++t) {
      if (before_ > 0) {
        --before_;
        tiles[t] = kNothing;
      } else if (left_ <= 0) {
        tiles[t] = kNothing;
      } else {
        --left_;
        tiles[t] = base_ + *block_ * block_bytes_ + tile_ * tile_bytes_;
        if (++tile_ == per_block_) tile_ = 0, ++block_;
      }
    }
  }

 private:
  const char* base_;
  const int32_t* block_;
  long block_bytes_, tile_bytes_, per_block_, tile_;
  int64_t before_, left_;  // tiles before the first key that is seen, and with such keys
};

// A copy of a tile's values, zeros but in slots begin .. end - 1: whatever lies in the others,
// times a weight of zero, may be NaN.
struct CleanValues {
  alignas(64) char values[kTileTokens * kHeadDimMax * 4];
  alignas(64) float scales[kTileTokens];

  void copy(const KvCache& cache, const char* tile, long begin, long end) {
    const char* from = tile + cache.half_bytes;
    if (cache.kind == I8) {  // any code is finite; a scale may not be
      std::memcpy(values, from, cache.half_bytes);
      std::memset(scales, 0, sizeof scales);
      std::memcpy(scales + begin, tile + 2 * cache.half_bytes + sizeof scales + begin * 4,
                  size_t(end - begin) * 4);
      return;
    }
    std::memset(values, 0, cache.half_bytes);
    const long per = cache.kind == F32 ? 1 : 2, channels = cache.head_dim;  // tokens of a unit
    for (long unit = begin / per; unit * per < end; ++unit) {
      uint32_t mask = per == 1 ? ~0u : 0;
      for (long i = 0; i < 2 && per == 2; ++i) {
        if (begin <= 2 * unit + i && 2 * unit + i < end) mask |= 0xffffu << 16 * i;
      }
      const uint32_t* in = reinterpret_cast<const uint32_t*>(from) + unit * channels;
      uint32_t* out = reinterpret_cast<uint32_t*>(values) + unit * channels;
      for (long c = 0; c < channels; ++c) out[c] = in[c] & mask;
    }
  }
};

// The query rows of an item, in the kind's numbers, and what they have seen of the present span.
struct Rows {
  alignas(64) uint32_t units[kQueryRowsMax * kHeadDimMax];  // by block: [unit][row of the block]
  alignas(64) float sums[kQueryRowsMax * kHeadDimMax];
  alignas(64) float lanes[kQueryRowsMax * 16];
  float most[kQueryRowsMax], factors[kQueryRowsMax];
  int32_t code_sums[kQueryRowsMax];
  // In float64, over the spans so far.
  double total_most[kQueryRowsMax], total[kQueryRowsMax];
  alignas(64) double out[kQueryRowsMax * kHeadDimMax];
};

// One row's merge of spans, in order.
struct Merge {
  double& most;
  double& total;
  double* out;
  long dim;

  void begin() {
    most = -std::numeric_limits<double>::infinity();
    total = 0;
    for (long c = 0; c < dim; ++c) out[c] = 0;
  }
  void add(const float* sums, float span_most, float weight) {
    if (weight == 0) return;  // the row sees no key of this span
    if (total == 0) {
      most = span_most;
      total = weight;
      for (long c = 0; c < dim; ++c) out[c] = sums[c];
      return;
    }
    const double now = std::max(most, double{span_most});
    const double before = std::exp2(most - now), scale = std::exp2(span_most - now);
    most = now;
    total = total * before + weight * scale;
    for (long c = 0; c < dim; ++c) out[c] = out[c] * before + sums[c] * scale;
  }
  void finish(float* result, float* lse) const {
    const double inverse = total == 0 ? 0 : 1 / total;
    for (long c = 0; c < dim; ++c) result[c] = float(out[c] * inverse);
    if (lse) {
      *lse = total == 0 ? -std::numeric_limits<float>::infinity()
                        : float((most + std::log2(total)) * kLn2);
    }
  }
};

bool all_finite(const float* values, long count) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t any = 0;
  for (long i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, 4);
    any |= uint32_t((bits & kExponent) == kExponent);
  }
  return any == 0;
}

float sum_of(const float* lanes) {
  float total[16];
  std::memcpy(total, lanes, sizeof total);
  for (int width = 8; width; width /= 2) {
    for (int i = 0; i < width; ++i) total[i] += total[i + width];
  }
  return total[0];
}

class Item {
 public:
  // `next` is what this thread is likely to do afterwards. The item has one token where it is to be
  // exact, whatever the values are that it does not see.
  Item(const KvCache& cache, long layer, const AttentionPlan& plan, const AttentionItem& item,
       const AttentionItem& next, bool exact, const AttentionCall& call)
      : cache_(cache), layer_(layer), plan_(plan), item_(item), call_(call),
        sequence_(plan.sequences[size_t(item_.sequence)]), table_(kernels()),
        num_rows_(item_.num_rows()),
        num_blocks_((num_rows_ + table_.attend_rows_max - 1) / table_.attend_rows_max),
        values_(exact ? seen_by(plan, item)
                      : Range{sequence_.first_key, sequence_.end_key}) {
    tiles_of(next, first_chunk(next)).next(after_);
    const int64_t first = sequence_.start + item_.first_token;
    for (long row = 0; row < num_rows_; ++row) {
      const int64_t position = first + row / item_.num_heads;
      begins_[row] = sequence_.begin_of(position, plan.window);
      ends_[row] = sequence_.end_of(position);
    }
  }

  // Returns whether all results are finite.
  bool run() {
    convert_queries();
    bool finite = true;
    const long dim = plan_.head_dim;
    if (item_.partial < 0) {
      for (long row = 0; row < num_rows_; ++row) merge(row).begin();
    }
    int64_t at = first_chunk(item_);
    Tiles tiles = tiles_of(item_, at);
    tiles.next(next_);
    const int64_t last_span = item_.first_span + item_.num_spans;
    const int64_t end = std::min(ends_[num_rows_ - 1], last_span * kSpan);
    for (int64_t span = item_.first_span; at < end; ++span) {
      begin_span();
      for (; at < std::min(end, (span + 1) * kSpan); at += kChunkTokens) {
        std::memcpy(tiles_, next_, sizeof tiles_);
        tiles.next(next_);
        walk_chunk(at, at + kChunkTokens < end ? next_ : after_);
      }
      for (long row = 0; row < num_rows_; ++row) {
        const float* sums = rows_.sums + row * dim;
        const float weight = sum_of(rows_.lanes + row * 16);
        if (item_.partial < 0) {
          merge(row).add(sums, rows_.most[row], weight);
        } else {
          float* out = call_.partials + partial_of(span) + row * plan_.partial_floats();
          std::memcpy(out, sums, size_t(dim) * 4);
          out[dim] = rows_.most[row];
          out[dim + 1] = weight;
          finite = finite && all_finite(out, dim);
        }
      }
    }
    if (item_.partial >= 0) return finite;
    for (long row = 0; row < num_rows_; ++row) {
      const long token = sequence_.first_row + item_.first_token + row / item_.num_heads;
      const long head = item_.first_head + row % item_.num_heads;
      float* out = call_.out + token * call_.out_stride + head * dim;
      merge(row).finish(out, call_.lse ? call_.lse + token * plan_.num_heads + head : nullptr);
      finite = finite && all_finite(out, dim);
    }
    return finite;
  }

 private:
  // Where a span's partial results begin: those of all rows of the sequence, span by span.
  int64_t partial_of(int64_t span) const {
    const int64_t rows = sequence_.count * item_.num_heads;
    return item_.partial + (span - item_.first_span) * rows * plan_.partial_floats();
  }
  long block_begin(long b) const { return num_rows_ * b / num_blocks_; }
  Merge merge(long row) {
    return {rows_.total_most[row], rows_.total[row], rows_.out + row * plan_.head_dim,
            plan_.head_dim};
  }
  Tiles tiles_of(const AttentionItem& item, int64_t position) const {
    return Tiles(cache_, plan_.sequences[size_t(item.sequence)], layer_, item.kv_head, position,
                 seen_by(plan_, item));
  }
  // Where the first chunk that an item sees begins.
  int64_t first_chunk(const AttentionItem& item) const {
    return std::max(seen_by(plan_, item).begin, item.first_span * kSpan) / kChunkTokens *
           kChunkTokens;
  }

  void convert_queries() {
    const long dim = plan_.head_dim, per = cache_.kind == F32 ? 1 : cache_.kind == BF16 ? 2 : 4;
    const long units = dim / per, words = table_.attend_words[cache_.kind];
    alignas(64) uint32_t row[kHeadDimMax], wide[kHeadDimMax];
    uint32_t* out = rows_.units;
    for (long b = 0; b < num_blocks_; ++b) {
      const long begin = block_begin(b), size = block_begin(b + 1) - begin;
      for (long m = 0; m < size; ++m) {
        const long at = begin + m;
        const long token = sequence_.first_row + item_.first_token + at / item_.num_heads;
        const float* q = call_.q + token * call_.q_stride +
                         (item_.first_head + at % item_.num_heads) * dim;
        float scale = 1;
        if (cache_.kind == F32) {
          std::memcpy(row, q, size_t(dim) * 4);
        } else if (cache_.kind == BF16) {
          table_.to_bf16(q, dim, reinterpret_cast<uint16_t*>(row));
        } else {
          table_.to_int8(q, dim, dim, reinterpret_cast<int8_t*>(row), &scale,
                         rows_.code_sums + at);
        }
        rows_.factors[at] = call_.scale * kLog2E * scale;
        if (words == 2) (cache_.kind == BF16 ? widen_bf16 : widen_int8)(row, units, wide);
        const uint32_t* from = words == 2 ? wide : row;
        for (long w = 0; w < units * words; ++w) out[w * size + m] = from[w];
      }
      out += units * words * size;
    }
  }

  void begin_span() {
    std::memset(rows_.sums, 0, size_t(num_rows_ * plan_.head_dim) * 4);
    std::memset(rows_.lanes, 0, size_t(num_rows_) * 64);
    for (long row = 0; row < num_rows_; ++row) rows_.most[row] = kUnseen;
  }

  // The keys at positions `at` to `at` + kChunkTokens - 1, for all rows that see some.
  void walk_chunk(int64_t at, const char* const* next) {
    Chunk chunk;
    chunk.head_dim = plan_.head_dim;
    for (int t = 0; t < kChunkTiles; ++t) {
      const bool held = tiles_[t] != kNothing;
      const int64_t first = at + t * kTileTokens;
      const long begin = long(std::max(int64_t{0}, values_.begin - first));
      const long end = long(std::min(int64_t{kTileTokens}, values_.end - first));
      chunk.keys[t] = tiles_[t];
      chunk.values[t] = held ? tiles_[t] + cache_.half_bytes : kNothing;
      const char* scales = held ? tiles_[t] + 2 * cache_.half_bytes : kNothing;
      chunk.key_scales[t] = reinterpret_cast<const float*>(scales);
      chunk.value_scales[t] = reinterpret_cast<const float*>(held ? scales + 64 : scales);
      if (held && end - begin < kTileTokens) {
        CleanValues& clean = clean_[begin > 0 ? 0 : 1];  // where they begin, where they end
        clean.copy(cache_, tiles_[t], begin, end);
        chunk.values[t] = clean.values;
        chunk.value_scales[t] = clean.scales;
      }
      chunk.next[t] = next[t];
    }
    const uint32_t* units = rows_.units;
    const long row_units = long(cache_.half_bytes) / 64 * table_.attend_words[cache_.kind];
    for (long b = 0; b < num_blocks_; ++b) {
      const long begin = block_begin(b), size = block_begin(b + 1) - begin;
      int32_t begins[kRowsMax], ends[kRowsMax];
      bool seen = false;
      for (long m = 0; m < size; ++m) {
        const int64_t from = begins_[begin + m] - at, to = ends_[begin + m] - at;
        begins[m] = int32_t(std::clamp(from, int64_t{0}, int64_t{kChunkTokens}));
        ends[m] = int32_t(std::clamp(to, int64_t{0}, int64_t{kChunkTokens}));
        if (ends[m] <= begins[m]) begins[m] = ends[m] = 0;
        seen = seen || ends[m] > 0;
      }
      if (seen) {
        const QueryBlock block{units, rows_.code_sums + begin, rows_.factors + begin, begins, ends,
                               rows_.most + begin, rows_.lanes + begin * 16,
                               rows_.sums + begin * plan_.head_dim};
        table_.attend_chunk[cache_.kind][size](chunk, block);
      }
      units += row_units * size;
    }
  }

  const KvCache& cache_;
  const long layer_;
  const AttentionPlan& plan_;
  const AttentionItem& item_;
  const AttentionCall& call_;
  const AttentionPlan::Sequence& sequence_;
  const Table& table_;
  const long num_rows_, num_blocks_;
  const Range values_;  // what is outside of it is taken for zeros: slots that hold no key at least
  int64_t begins_[kQueryRowsMax], ends_[kQueryRowsMax];  // positions that each row sees
  // Keys of this chunk, of the next one, and of the next item's first.
  const char* tiles_[kChunkTiles];
  const char* next_[kChunkTiles];
  const char* after_[kChunkTiles];
  CleanValues clean_[2];
  Rows rows_;
};

}  // namespace

void attend_item(const KvCache& cache, long layer, const AttentionPlan& plan, long item,
                 const AttentionCall& call) {
  const AttentionItem& all = plan.items[size_t(item)];
  const AttentionItem& next = plan.items[size_t(std::min(item + 1, plan.num_items() - 1))];
  if (Item(cache, layer, plan, all, next, false, call).run()) return;
  AttentionItem one = all;
  one.num_tokens = 1;
  for (int64_t t = 0; t < all.num_tokens; ++t, ++one.first_token) {
    if (all.partial >= 0) one.partial = all.partial + t * all.num_heads * plan.partial_floats();
    Item(cache, layer, plan, one, next, true, call).run();
  }
}

void merge_item(const AttentionPlan& plan, long index, const AttentionCall& call) {
  const AttentionItem& item = plan.merges[size_t(index)];
  const AttentionPlan::Sequence& sequence = plan.sequences[size_t(item.sequence)];
  const long dim = plan.head_dim, rows = item.num_rows(), size = plan.partial_floats();
  double most, total, out[kHeadDimMax];
  Merge merge{most, total, out, dim};
  for (long row = 0; row < rows; ++row) {
    const float* partial = call.partials + item.partial + row * size;
    merge.begin();
    for (int64_t span = 0; span < item.num_spans; ++span, partial += rows * size) {
      merge.add(partial, partial[dim], partial[dim + 1]);
    }
    const long token = sequence.first_row + item.first_token + row / item.num_heads;
    const long head = item.first_head + row % item.num_heads;
    merge.finish(call.out + token * call.out_stride + head * dim,
                 call.lse ? call.lse + token * plan.num_heads + head : nullptr);
  }
}

}  // namespace perfuse
