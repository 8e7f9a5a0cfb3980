// Exact top-k of a vector shard, near the memory that holds it: each vector is read once.
//
// Vectors are columns of panels, so that 32 scores come out of a walk side by side and nothing is
// summed across lanes. A score enters a heap only if it beats what is known to be beaten: the
// heap's own worst, and the largest k-th score that any item of this scan has seen.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <new>

#include "../native/functions.h"
#include "../native/pool.h"
#include "../native/walk.h"

namespace perfuse {
namespace {

constexpr long kVectorsMax = long{1} << 32;
constexpr long kDimMax = 65536;
constexpr long kTopMax = 65536;
constexpr long kQueriesMax = 65536;
constexpr size_t kItemBytes = size_t{1} << 20;
constexpr long kItemsMax = 1024;

class Shard : public Owned {
 public:
  Shard(Kind kind_, long vectors_, long dim_)
      : kind(kind_), vectors(vectors_), dim(dim_), panels((vectors_ + kColumns - 1) / kColumns),
        stride(panel_bytes(kind_, dim_)), memory(size_t(panels) * stride) {}
  const char* what() const override { return "scan"; }

  const Kind kind;
  const long vectors, dim, panels;
  const size_t stride;
  const Memory memory;
};

void create(const Argument* a, Result& result) {
  const Kind kind = kind_named(a[0]);
  if (kind == I4) refuse("kind is int4; a scan takes fp32, bf16 or int8");
  const long vectors = integer(a[1], "num_vectors", 1, kVectorsMax);
  const long dim = integer(a[2], "dim", 1, kDimMax);
  result.give(new Shard(kind, vectors, dim));
}

// Vectors first, first + 1, ...; whole panels, unless they are the last ones.
void set_vectors(const Argument* a, Result&) {
  Shard& shard = owned<Shard>(a[0], "scan");
  const long first = integer(a[1], "first", 0, shard.vectors - 1);
  const Array& vectors = array(a[2], "vectors_ND", 2, {"float32", "uint16"});
  const long count = vectors.shape[0];
  if (first % kColumns || count < 1 || count > shard.vectors - first ||
      (count % kColumns && first + count != shard.vectors)) {
    refuse("vectors " + std::to_string(first) + " to " + std::to_string(first + count) + " of " +
           std::to_string(shard.vectors) + ": they must begin and end at multiples of " +
           std::to_string(kColumns) + ", or end with the shard");
  }
  const Rows rows(a[2], "vectors_ND", count, shard.dim);
  std::vector<float> room(size_t(kColumns * shard.dim));
  for (long panel = first / kColumns; panel * kColumns < first + count; ++panel) {
    const float* columns[kColumns] = {};
    for (int c = 0; c < kColumns && panel * kColumns + c < first + count; ++c) {
      float* row = room.data() + c * shard.dim;
      rows.read(panel * kColumns + c - first, row);
      columns[c] = row;
    }
    pack_panel(shard.kind, columns, shard.dim,
               shard.memory.data() + size_t(panel) * shard.stride);
  }
}

struct Entry {
  float score;
  int64_t id;
};

// The order of answers: highest score first, then lowest id. As a heap's order: the worst on top.
bool better(const Entry& x, const Entry& y) {
  return x.score != y.score ? x.score > y.score : x.id < y.id;
}

void raise(std::atomic<float>& bound, float score) {
  float seen = bound.load(std::memory_order_relaxed);
  while (score > seen && !bound.compare_exchange_weak(seen, score, std::memory_order_relaxed)) {
  }
}

class Heap {
 public:
  // product: 32 scores, the first `width` of them of vectors `id` on.
  void offer(const Table& table, const float* product, int width, int64_t id, size_t top,
             std::atomic<float>& bound) {
    // Equal to the bound may still win by its id, so: above what is next below it.
    float threshold = std::nextafter(bound.load(std::memory_order_relaxed),
                                     -std::numeric_limits<float>::infinity());
    // Ids only rise within an item: equal to our own worst loses.
    if (entries_.size() == top) threshold = std::max(threshold, entries_.front().score);
    uint32_t mask = table.above(product, threshold);
    if (width < kColumns) mask &= (1u << width) - 1;
    for (; mask; mask &= mask - 1) {
      const int column = __builtin_ctz(mask);
      const Entry entry{product[column], id + column};
      if (entries_.size() == top) {
        if (!better(entry, entries_.front())) continue;
        std::pop_heap(entries_.begin(), entries_.end(), better);
        entries_.pop_back();
      }
      entries_.push_back(entry);
      std::push_heap(entries_.begin(), entries_.end(), better);
      if (entries_.size() == top) raise(bound, entries_.front().score);
    }
  }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

void top_k(const Argument* a, Result&) {
  const Shard& shard = owned<Shard>(a[0], "scan");
  const Array& queries = array(a[1], "queries_QD", 2, {"float32"});
  const Array& ids = output(a[2], "ids_QK", 2, "int64", 8);
  const Array& scores = output(a[3], "scores_QK", 2, "float32", 4);
  const long count = queries.shape[0], top = ids.shape[1];
  expect(queries, "queries_QD", 1, shard.dim);
  expect(ids, "ids_QK", 0, count);
  expect(scores, "scores_QK", 0, count);
  expect(scores, "scores_QK", 1, top);
  if (top < 1 || top > kTopMax) {
    refuse("k is " + std::to_string(top) + "; it must be from 1 to " + std::to_string(kTopMax));
  }
  if (count > kQueriesMax) refuse("queries_QD has too many queries for one call");
  if (count == 0) return;

  const Table& table = kernels();
  const Split split = Split::of(table, shard.kind, count);
  const long num = split.count;
  Scratch& scratch =
      Scratch::begin(Activations::bytes(shard.kind, count, shard.dim) +
                     Activations::block_bytes(shard.kind, count, shard.dim) + size_t(num) * 256 +
                     size_t(count) * 4 + size_t(shard.dim) * 4 + 64 * 16);
  Activations activations = Activations::in(scratch, shard.kind, count, shard.dim);
  // One scale for the whole query: int8 sums are whole numbers, compared as such.
  activations.group_units = activations.units;
  activations.groups = 1;
  float* row = scratch.take<float>(size_t(shard.dim));
  int32_t* index = scratch.take<int32_t>(size_t(count));
  Block* blocks = scratch.take<Block>(size_t(num));
  for (long q = 0; q < count; ++q) {
    read_floats(queries, q, shard.dim, row);
    activations.convert(row, q);
    index[q] = int32_t(q);
  }
  for (long b = 0; b < num; ++b) {
    const long begin = split.begin(b), size = split.begin(b + 1) - begin;
    char* room = scratch.take<char>(Activations::block_bytes(shard.kind, size, shard.dim));
    blocks[b] = activations.gather(index + begin, int(size), room);
  }

  const long wanted = long(shard.memory.bytes() / kItemBytes) + 1;
  const long num_items = std::min({wanted, kItemsMax, shard.panels});
  std::vector<Heap> heaps(size_t(num_items * count));
  const auto bounds = std::make_unique<std::atomic<float>[]>(size_t(count));
  for (long q = 0; q < count; ++q) bounds[size_t(q)] = -std::numeric_limits<float>::infinity();
  const auto walk = [&](long item) {
    const long end = shard.panels * (item + 1) / num_items;
    for (long panel = shard.panels * item / num_items; panel < end; ++panel) {
      const char* data = shard.memory.data() + size_t(panel) * shard.stride;
      const long id = panel * kColumns;
      const int width = int(std::min(long{kColumns}, shard.vectors - id));
      long q = 0;
      const char* next = data + shard.stride;
      times_blocks(table, shard.kind, data, shard.stride, next, activations.units,
                   activations.group_units, num, [&](long b) { return blocks[b]; },
                   [&](long b, const float* product) {
                     for (int m = 0; m < blocks[b].rows; ++m, ++q) {
                       heaps[size_t(item * count + q)].offer(table, product + m * kColumns, width,
                                                             id, size_t(top), bounds[size_t(q)]);
                     }
                   });
    }
  };
  // An item must not throw: that a heap has no memory is kept for the end.
  std::atomic<bool> no_memory{false};
  together(shard.memory.bytes(), [&](Team& team) {
    const Multiplying multiplying;
    team.each(num_items, [&](long item) {
      try {
        walk(item);
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
  });
  if (no_memory) throw std::bad_alloc();

  std::vector<Entry> all;
  for (long q = 0; q < count; ++q) {
    all.clear();
    for (long item = 0; item < num_items; ++item) {
      const std::vector<Entry>& found = heaps[size_t(item * count + q)].entries();
      all.insert(all.end(), found.begin(), found.end());
    }
    const long kept = std::min(top, long(all.size()));
    std::partial_sort(all.begin(), all.begin() + kept, all.end(), better);
    int64_t* out_ids = reinterpret_cast<int64_t*>(ids.data) + q * top;
    float* out_scores = reinterpret_cast<float*>(scores.data) + q * top;
    for (long k = 0; k < top; ++k) {
      out_ids[k] = k < kept ? all[size_t(k)].id : -1;
      out_scores[k] = k < kept ? all[size_t(k)].score : -std::numeric_limits<float>::infinity();
    }
  }
}

void shard_bytes(const Argument* a, Result& result) {
  result.set(int64_t(owned<Shard>(a[0], "scan").memory.bytes()));
}

}  // namespace

Functions scan_functions() {
  return {{"scan_create", create, 3, false},
          {"scan_set", set_vectors, 3, false},
          {"scan_top_k", top_k, 4, false},
          {"scan_bytes", shard_bytes, 1, true}};
}

}  // namespace perfuse
