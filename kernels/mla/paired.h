// Latent attention's products where registers are many: bf16 is multiplied in pairs, or widened as
// it is. Included by inner.h.
#pragma once
#include "latent_table.h"

namespace {

// As many rows of accumulators as registers hold beside a line (or two) and a broadcast.
constexpr int kKeysAtOnce = kRows >= 12 ? 16 : kRows;
constexpr int kHeadsAtOnce = kRows >= 12 ? 8 : kRows;

#define PERFUSE_TIMES(n, count) _Pragma("GCC unroll 16") for (int n = 0; n < count; ++n)

struct LatentF32 {
  using Line = VF;
  static constexpr long kPer = 1;  // keys of a unit
  static Line line(const void* p) { return load(static_cast<const float*>(p)); }
  static VF dot(VF sum, const Line& line, const uint32_t* unit) {
    return fma(line, broadcast(unit), sum);
  }
};

struct LatentBf16 {
  using Line = BfWeights;
  static constexpr long kPer = 2;
  static Line line(const void* p) { return bf16_weights(p); }
  static VF dot(VF sum, const Line& line, const uint32_t* unit) {
    return bf16_dot(sum, line, bf16_unit(unit));
  }
};

template <class Number>
void latent_scores(const char* rows, long stride, const uint32_t* queries, long units,
                   const char* ahead, float* out) {
  for (int first = 0; first < kLanes; first += kKeysAtOnce) {
    VF sums[kKeysAtOnce];
    PERFUSE_TIMES(n, kKeysAtOnce) sums[n] = splat(0);
    // Four rows from each of these pointers: x86 adds one or two strides to an address for nothing.
    constexpr int kPointers = (kKeysAtOnce + 3) / 4;
    const char* from[kPointers];
    PERFUSE_TIMES(i, kPointers) from[i] = rows + (first + 4 * i) * stride;
    const long stride3 = 3 * stride;
    const uint32_t* query = queries;
    for (long u = 0; u < units; ++u, query += kLanes) {
      if (first == 0) __builtin_prefetch(ahead + 64 * u, 0, 2);
      const typename Number::Line line = Number::line(query);
      PERFUSE_TIMES(n, kKeysAtOnce) {
        const long step = n % 4 == 3 ? stride3 : (n % 4) * stride;
        const char* unit = from[n / 4] + step + 4 * u;
        sums[n] = Number::dot(sums[n], line, reinterpret_cast<const uint32_t*>(unit));
      }
    }
    PERFUSE_TIMES(n, kKeysAtOnce) store(out + (first + n) * kLanes, sums[n]);
  }
}

// Probabilities of a unit's one or two keys.
inline void store_unit(LatentF32, uint32_t* out, VF first, VF) {
  store(reinterpret_cast<float*>(out), first);
}

inline void store_unit(LatentBf16, uint32_t* out, VF first, VF second) {
  uint16_t rounded[2][16];
  store_bf16(rounded[0], first);
  store_bf16(rounded[1], second);
  store_int(out, pair_line(rounded[0], rounded[1]));
}

void latent_strip_f32(const char* const* rows, long channel, long units, uint32_t* out) {
  float* strip = reinterpret_cast<float*>(out);
  for (long u = 0; u < units; ++u, strip += kColumns) {
    const float* row = reinterpret_cast<const float*>(rows[u]) + channel;
    store(strip, load(row));
    store(strip + kLanes, load(row + kLanes));
  }
}

void latent_strip_bf16(const char* const* rows, long channel, long units, uint32_t* out) {
  for (long u = 0; u < units; ++u, out += kColumns) {
    const uint16_t* first = reinterpret_cast<const uint16_t*>(rows[2 * u]) + channel;
    const uint16_t* second = reinterpret_cast<const uint16_t*>(rows[2 * u + 1]) + channel;
    store_int(out, pair_line(first, second));
    store_int(out + kLanes, pair_line(first + kLanes, second + kLanes));
  }
}

// Units of a strip from `line` on, where `count` may be 0.
struct LatentRun {
  const uint32_t* line;
  const uint32_t* probabilities;
  long count;
};

// The pairs at the ends may hold a key that is not wanted, whose latents may be anything: they are
// read from copies in which it is zero.
struct LatentRuns {
  LatentRuns(LatentF32, const uint32_t* strip, const uint32_t* p, long begin, long end)
      : run{{strip, p, 0}, {strip + begin * kColumns, p + begin * kLanes, end - begin},
            {strip, p, 0}} {}
  LatentRuns(LatentBf16, const uint32_t* strip, const uint32_t* p, long begin, long end) {
    const long first = begin / 2, whole = (begin + 1) / 2, last = end / 2;
    run[0] = {edge[0], p + first * kLanes, begin % 2};
    run[1] = {strip + whole * kColumns, p + whole * kLanes, last - whole};
    run[2] = {edge[1], p + last * kLanes, end % 2};
    if (begin % 2) keep(strip + first * kColumns, int32_t(0xffff0000), edge[0]);
    if (end % 2) keep(strip + last * kColumns, 0x0000ffff, edge[1]);
  }
  static void keep(const uint32_t* line, int32_t mask, uint32_t* out) {
    for (int half = 0; half < kColumns; half += kLanes) {
      store_int(out + half, and_int(load_int(line + half), splat_int(mask)));
    }
  }

  LatentRun run[3];
  alignas(64) uint32_t edge[2][kColumns];
};

template <class Number>
void latent_values(const uint32_t* strip, const uint32_t* probabilities, long begin, long end,
                   const float* factors, float* out, long stride) {
  const LatentRuns runs(Number{}, strip, probabilities, begin, end);
  for (int first = 0; first < kLanes; first += kHeadsAtOnce) {
    VF low[kHeadsAtOnce], high[kHeadsAtOnce];
    PERFUSE_TIMES(h, kHeadsAtOnce) {
      const float* o = out + (first + h) * stride;
      const VF factor = splat(factors ? factors[first + h] : 0.0f);
      low[h] = factors ? mul(load(o), factor) : factor;
      high[h] = factors ? mul(load(o + kLanes), factor) : factor;
    }
    for (const LatentRun& run : runs.run) {
      const uint32_t* line = run.line;
      const uint32_t* p = run.probabilities + first;
      for (long u = 0; u < run.count; ++u, line += kColumns, p += kLanes) {
        const typename Number::Line w0 = Number::line(line), w1 = Number::line(line + kLanes);
        PERFUSE_TIMES(h, kHeadsAtOnce) {
          low[h] = Number::dot(low[h], w0, p + h);
          high[h] = Number::dot(high[h], w1, p + h);
        }
      }
    }
    PERFUSE_TIMES(h, kHeadsAtOnce) {
      float* o = out + (first + h) * stride;
      store(o, low[h]);
      store(o + kLanes, high[h]);
    }
  }
}

#undef PERFUSE_TIMES

void fill_latent_products(perfuse::LatentTable& table) {
  table.piece_keys = perfuse::kLatentTile;
  table.per[perfuse::F32] = LatentF32::kPer;
  table.per[perfuse::BF16] = LatentBf16::kPer;
  table.scores[perfuse::F32] = latent_scores<LatentF32>;
  table.scores[perfuse::BF16] = latent_scores<LatentBf16>;
  table.strip[perfuse::F32] = latent_strip_f32;
  table.strip[perfuse::BF16] = latent_strip_bf16;
  table.values[perfuse::F32] = latent_values<LatentF32>;
  table.values[perfuse::BF16] = latent_values<LatentBf16>;
}

}  // namespace
