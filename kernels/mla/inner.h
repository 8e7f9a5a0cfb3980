// The inner loops of absorbed latent attention, written once for all instruction sets. Included by
// one translation unit each, after rowwise.h; latent.h says how they are put together.
//
//   scores   lanes are 16 heads: a line of queries stays, 16 keys' channels are broadcast
//   softmax  lanes are 16 heads: maximum, exp and sum run down the keys, nothing crosses lanes
//   values   lanes are 16 channels: a line of latents stays, 16 heads' probabilities are broadcast
//
// So a row [latent | rope] of the cache is read as it lies for scores, and values need pairs of
// rows interleaved (paired.h), or widened (wide.h), or nothing at all (fp32). Each score has one
// chain of accumulation along the channels, each output one along the keys: bits depend on no other
// row.
#pragma once
#include <float.h>

#include "latent_table.h"

namespace {
using perfuse::kLanes;
}

#if defined(PERFUSE_WIDE_LATENTS)
#include "wide.h"
#else
#include "paired.h"
#endif

namespace {

template <class Number>
void latent_softmax(const float* scores, long begin, long end, float scale,
                    perfuse::LatentState* state, float* factors, uint32_t* probabilities) {
  const VF s = splat(scale), before = load(state->most);
  VF best[4] = {before, before, before, before};
  for (long key = begin; key < end; ++key) {
    VF& most = best[key % 4];  // four chains: one would wait for itself
    most = max(mul(load(scores + key * kLanes), s), most);
  }
  const VF most = max(max(best[0], best[1]), max(best[2], best[3]));
  // -infinity minus itself would be NaN.
  const VF base = max(most, splat(-FLT_MAX));
  VF total = splat(0);
  const auto probability = [&](long key) {
    if (key < begin || key >= end) return splat(0);
    const VF p = exponential(sub(mul(load(scores + key * kLanes), s), base));
    total = add(total, p);
    return p;
  };
  constexpr long kPer = Number::kPer;  // keys of a unit
  for (long unit = begin / kPer; unit * kPer < end; ++unit) {
    const VF first = probability(unit * kPer);
    const VF second = kPer == 2 ? probability(unit * kPer + 1) : first;
    store_unit(Number{}, probabilities + unit * kLanes, first, second);
  }
  const VF factor = exponential(sub(before, base));
  store(factors, factor);
  store(state->total, fma(load(state->total), factor, total));
  store(state->most, most);
}

void latent_fold(perfuse::LatentState* state, const perfuse::LatentState* next, float* factors,
                 float* next_factors) {
  const VF a = load(state->most), b = load(next->most), most = max(a, b);
  const VF base = max(most, splat(-FLT_MAX));
  const VF fa = exponential(sub(a, base)), fb = exponential(sub(b, base));
  store(state->most, most);
  store(state->total, fma(load(next->total), fb, mul(load(state->total), fa)));
  store(factors, fa);
  store(next_factors, fb);
}

void latent_blend(const float* in, float in_factor, long count, float factor, float* out) {
  for (long i = 0; i < count; i += kLanes) {
    const VF added = mul(load(in + i), splat(in_factor));
    store(out + i, fma(load(out + i), splat(factor), added));
  }
}

void latent_scaled(const float* in, float factor, long count, float* out) {
  for (long i = 0; i < count; i += kLanes) store(out + i, mul(load(in + i), splat(factor)));
}

void latent_widen(const int8_t* codes, float scale, long count, uint16_t* out) {
  for (long i = 0; i < count; i += kLanes) {
    store_bf16(out + i, mul(to_float(load_int8(codes + i)), splat(scale)));
  }
}

void fill_latent(perfuse::LatentTable& table) {
  fill_latent_products(table);
  table.softmax[perfuse::F32] = latent_softmax<LatentF32>;
  table.softmax[perfuse::BF16] = latent_softmax<LatentBf16>;
  table.fold = latent_fold;
  table.blend = latent_blend;
  table.scaled = latent_scaled;
  table.widen = latent_widen;
}

}  // namespace
