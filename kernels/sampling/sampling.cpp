// One token for each row of logits; the definition is in __init__.py. A row is an item of the pool.
//
// A row is read once for its largest logits and once for the weight above a few bars; then only the
// tokens between the two bars where a sum falls are looked at. With top_k only what may belong to
// the first k is weighed at all.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <limits>

#include "../native/cpu.h"
#include "../native/functions.h"
#include "../native/memory.h"
#include "../native/pool.h"
#include "select.h"

namespace perfuse {
namespace {

constexpr long kVocabMax = long{1} << 19;  // sums of weights stay below 2^63
constexpr long kRowsMax = long{1} << 20;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kInverseMax = 1e300;  // see ref.py
// Bars in temperatures below the largest logit: each region holds a few times the tokens of the one
// before and weighs about as much, for logits as models give them. They decide speed alone.
constexpr double kDepths[kBars] = {2.5, 4.5, 6, 7.5, 9, 11, 14, 32};
// What a weight costs, as bytes that are read in the same time.
constexpr size_t kWeightBytes = 32;

struct Parameters {
  double temperature, top_p, uniform;
  long top_k;
};

float narrowed(double x) { return x < -double(FLT_MAX) ? -kInfinity : float(x); }

class Row {
 public:
  static size_t bytes(long vocab) {
    const size_t room = size_t(vocab), chunks = (room + kChunk - 1) / kChunk;
    return 4 * Scratch::round_up(room * 4) + 2 * Scratch::round_up(room * 8) +
           2 * Scratch::round_up(chunks * 4);
  }
  Row(const Table& table, const float* logits, long vocab, Scratch& scratch)
      : table_(table), logits_(logits), vocab_(vocab), chunks_((vocab + kChunk - 1) / kChunk) {
    const size_t room = size_t(vocab);
    maxima_ = scratch.take<float>(size_t(chunks_));
    sorted_ = scratch.take<float>(size_t(chunks_));
    for (Candidates* c : {&found_, &room_}) {
      *c = {scratch.take<float>(room), scratch.take<uint32_t>(room), scratch.take<uint64_t>(room),
            0};
    }
    nan_ = table.sampling.chunk_maxima(logits, vocab, maxima_);
    if (!nan_) find_best();
  }

  bool nan() const { return nan_; }
  long best() const { return best_; }
  float most() const { return most_; }
  double margin() const {
    if (vocab_ == 1) return kInfinity;
    return most_ == second_ ? 0.0 : double(most_) - double(second_);
  }

  long sample(const Parameters& p) {
    heat_ = {double(most_), std::min(1.0 / p.temperature, kInverseMax)};
    for (int j = 0; j < kBars; ++j) {
      bars_[j] = narrowed(double(most_) - kDepths[j] * p.temperature);
    }
    bars_[kBars - 1] = std::nextafter(bars_[kBars - 1], -kInfinity);  // it must not round up
    few_ = p.top_k > 0 && p.top_k < vocab_;
    uint64_t total = few_ ? keep_first(p.top_k) : weigh_all();
    if (p.top_p < 1.0) {
      const uint64_t wanted = uint64_t(std::ceil(p.top_p * double(total)));
      total = place(std::min(std::max(wanted, uint64_t{1}), total) - 1).sum;
    }
    const uint64_t target = uint64_t(p.uniform * double(total));
    return long(place(std::min(target, total - 1)).id);
  }

 private:
  void find_best() {
    long chunk = 0;
    second_ = -kInfinity;
    for (long i = 1; i < chunks_; ++i) {
      if (maxima_[i] > maxima_[chunk]) {
        second_ = maxima_[chunk];
        chunk = i;
      } else {
        second_ = std::max(second_, maxima_[i]);
      }
    }
    most_ = maxima_[chunk];
    const long end = std::min(vocab_, (chunk + 1) * kChunk);
    best_ = chunk * kChunk;
    while (best_ < end - 1 && logits_[best_] != most_) ++best_;
    for (long i = chunk * kChunk; i < end; ++i) {
      if (i != best_) second_ = std::max(second_, logits_[i]);
    }
  }

  // Tokens with low < logit <= high, by ascending id.
  void collect(float low, float high) {
    long count = 0;
    for (long chunk = 0; chunk < chunks_; ++chunk) {
      if (!(maxima_[chunk] > low)) continue;
      const long end = std::min(vocab_, (chunk + 1) * kChunk);
      for (long first = chunk * kChunk; first < end; first += kColumns) {
        const float* p = logits_ + first;
        float padded[kColumns];
        if (end - first < kColumns) {
          std::fill(std::copy(p, logits_ + end, padded), padded + kColumns, -kInfinity);
          p = padded;
        }
        uint32_t mask = table_.above(p, low);
        if (mask) mask &= ~table_.above(p, high);
        for (; mask; mask &= mask - 1) {
          const int i = __builtin_ctz(mask);
          found_.logits[count] = p[i];
          found_.ids[count++] = uint32_t(first + i);
        }
      }
    }
    found_.count = count;
  }

  // With top_k: leaves the first k tokens that may weigh something, weighed; returns their sum.
  uint64_t keep_first(long k) {
    float low = bars_[kBars - 1];
    if (k <= chunks_) {
      // Each of the k largest chunks has a token at least as large as the k-th largest maximum.
      std::copy(maxima_, maxima_ + chunks_, sorted_);
      std::nth_element(sorted_, sorted_ + k - 1, sorted_ + chunks_, std::greater<float>());
      low = std::max(low, std::nextafter(sorted_[k - 1], -kInfinity));
    }
    collect(low, kInfinity);
    if (found_.count > k) {
      std::fill(found_.weights, found_.weights + found_.count, uint64_t{1});
      const Place last = find(found_, uint64_t(k - 1), room_);
      long kept = 0;
      for (long i = 0; i < found_.count; ++i) {
        if (before(last.logit, last.id, found_.logits[i], found_.ids[i])) continue;
        found_.logits[kept] = found_.logits[i];
        found_.ids[kept++] = found_.ids[i];
      }
      found_.count = kept;
    }
    return weigh_found();
  }

  uint64_t weigh_found() {
    table_.sampling.weigh(found_.logits, found_.count, heat_, found_.weights);
    uint64_t total = 0;
    for (long i = 0; i < found_.count; ++i) total += found_.weights[i];
    return total;
  }

  uint64_t weigh_all() {
    table_.sampling.weigh_above(logits_, vocab_, maxima_, heat_, bars_, sums_);
    return sums_[kBars - 1];
  }

  // Where the cumulative weight of all that is kept passes `target`.
  Place place(uint64_t target) {
    if (few_) return find(found_, target, room_);
    int region = 0;
    while (region < kBars - 1 && sums_[region] <= target) ++region;
    if (region != region_) {
      collect(bars_[region], region ? bars_[region - 1] : kInfinity);
      weigh_found();
      region_ = region;
    }
    const uint64_t base = region ? sums_[region - 1] : 0;
    Place found = find(found_, target - base, room_);
    found.sum += base;
    return found;
  }

  const Table& table_;
  const float* logits_;
  const long vocab_, chunks_;
  float *maxima_, *sorted_;
  Candidates found_, room_;  // of top_k, else of region_
  bool nan_, few_ = false;
  int region_ = -1;
  long best_ = 0;
  float most_ = 0, second_ = 0;
  Heat heat_{};
  float bars_[kBars];
  uint64_t sums_[kBars];
};

[[noreturn]] void refuse_row(const char* name, long row, double value, const char* right) {
  char text[160];
  std::snprintf(text, sizeof text, "%s of row %ld is %g; it must be %s", name, row, value, right);
  refuse(text);
}

Parameters read_parameters(const Argument* a, long row) {
  const Parameters p{element<double>(a[1].array, row), element<double>(a[3].array, row),
                     element<double>(a[4].array, row), long(element<int64_t>(a[2].array, row))};
  if (p.temperature == 0.0) return p;
  if (!(p.temperature > 0.0 && p.temperature <= DBL_MAX)) {
    refuse_row("temperature", row, p.temperature, "finite and at least 0");
  }
  if (p.top_k < 0) refuse_row("top_k", row, double(p.top_k), "0 (all) or more");
  if (!(p.top_p > 0.0 && p.top_p <= 1.0)) {
    refuse_row("top_p", row, p.top_p, "above 0 and at most 1");
  }
  if (!(p.uniform >= 0.0 && p.uniform < 1.0)) {
    refuse_row("uniform", row, p.uniform, "at least 0 and below 1");
  }
  return p;
}

const char* const kNames[] = {"logits_RV", "temperatures_R", "top_ks_R",
                              "top_ps_R",  "uniforms_R",     "ids_R",    "margins_R"};

void choose(const Argument* a, Result&) {
  const Array& logits = array(a[0], kNames[0], 2, {"float32"});
  const long rows = logits.shape[0], vocab = logits.shape[1];
  if (rows > kRowsMax || vocab < 1 || vocab > kVocabMax) {
    refuse("logits_RV has shape " + shown_shape(logits) + "; it must be [rows, 1 to " +
           std::to_string(kVocabMax) + "]");
  }
  if (!logits.rows_are_whole(4) || logits.strides[0] % 4 ||
      reinterpret_cast<uintptr_t>(logits.data) % 4) {
    refuse("logits_RV must be aligned, and its rows without gaps");
  }
  for (int i = 1; i < 5; ++i) {
    expect(array(a[i], kNames[i], 1, {i == 2 ? "int64" : "float64"}), kNames[i], 0, rows);
  }
  const Array& ids = output(a[5], kNames[5], 1, "int64", 8);
  const Array& margins = output(a[6], kNames[6], 1, "float64", 8);
  expect(ids, kNames[5], 0, rows);
  expect(margins, kNames[6], 0, rows);

  std::vector<Parameters> parameters;
  size_t cost = 0;
  for (long row = 0; row < rows; ++row) {
    parameters.push_back(read_parameters(a, row));
    cost += size_t(vocab) * (parameters.back().temperature > 0.0 ? kWeightBytes : 4);
  }
  const Table& table = kernels();
  const auto row_of = [&](long row) {
    return reinterpret_cast<const float*>(logits.data + row * logits.strides[0]);
  };
  // An item must not throw: what is wrong with a row is kept for the end.
  enum Verdict : char { GOOD, NOT_A_NUMBER, NOT_FINITE, NO_MEMORY };
  std::vector<Verdict> verdicts(size_t(rows), GOOD);
  const long items[] = {rows};
  run_phases(1, items, cost, [&](int, long item) {
    Verdict& verdict = verdicts[size_t(item)];
    Scratch* scratch = nullptr;
    try {
      scratch = &Scratch::begin(Row::bytes(vocab));
    } catch (const std::bad_alloc&) {
      verdict = NO_MEMORY;
      return;
    }
    Row row(table, row_of(item), vocab, *scratch);
    const Parameters& p = parameters[size_t(item)];
    if (row.nan()) {
      verdict = NOT_A_NUMBER;
      return;
    }
    if (p.temperature > 0.0 && !std::isfinite(row.most())) {
      verdict = NOT_FINITE;
      return;
    }
    reinterpret_cast<double*>(margins.data)[item] = row.margin();
    reinterpret_cast<int64_t*>(ids.data)[item] =
        p.temperature > 0.0 ? row.sample(p) : row.best();
  });
  for (long row = 0; row < rows; ++row) {
    if (verdicts[size_t(row)] == NO_MEMORY) throw std::bad_alloc();
    const float* values = row_of(row);
    if (verdicts[size_t(row)] == NOT_A_NUMBER) {
      const long token = long(std::find_if(values, values + vocab, [](float x) {
                           return x != x;
                         }) - values);
      refuse("logits_RV holds NaN at row " + std::to_string(row) + ", token " +
             std::to_string(token));
    }
    if (verdicts[size_t(row)] == NOT_FINITE) {
      const float most = *std::max_element(values, values + vocab);
      refuse_row("the largest logit", row, double(most), "finite to sample");
    }
  }
}

}  // namespace

Functions sampling_functions() { return {{"sampling_choose", choose, 7, false}}; }

}  // namespace perfuse
