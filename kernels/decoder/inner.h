// Row-wise parts of a decode step; included by one translation unit for each instruction set, after
// rowwise.h. Each has one order of additions, which depends on `count` alone.
#pragma once

namespace {

// Two chains: a row is short, and its norm stands between two products.
void rms_norm(const float* in, const float* weight, float eps, long count, float* out) {
  VF even = splat(0.0f), odd = splat(0.0f);
  by_sixteen(count, [&](long i, int lanes) {
    const VF x = load_part(in + i, lanes);
    VF& chain = i & 16 ? odd : even;
    chain = fma(x, x, chain);
  });
  const float mean = sum(add(even, odd)) / float(count);
  const VF scale = splat(1.0f / __builtin_sqrtf(mean + eps));
  by_sixteen(count, [&](long i, int lanes) {
    const VF x = mul(load_part(in + i, lanes), scale);
    store_part(out + i, mul(x, load_part(weight + i, lanes)), lanes);
  });
}

// Channel i of the first half turns with channel i of the second.
void rotate(float* x, const float* cosines, const float* sines, long half) {
  by_sixteen(half, [&](long i, int lanes) {
    const VF first = load_part(x + i, lanes), second = load_part(x + half + i, lanes);
    const VF c = load_part(cosines + i, lanes), s = load_part(sines + i, lanes);
    store_part(x + i, sub(mul(first, c), mul(second, s)), lanes);
    store_part(x + half + i, fma(first, s, mul(second, c)), lanes);
  });
}

void softmax(float* x, long count) {
  float most = x[0];
  for (long i = 1; i < count; ++i) most = x[i] > most ? x[i] : most;
  by_sixteen(count, [&](long i, int lanes) {
    store_part(x + i, exponential(sub(load_part(x + i, lanes), splat(most))), lanes);
  });
  VF total = splat(0.0f);
  by_sixteen(count, [&](long i, int lanes) { total = add(total, load_part(x + i, lanes)); });
  const VF all = splat(sum(total));
  by_sixteen(count, [&](long i, int lanes) {
    store_part(x + i, div(load_part(x + i, lanes), all), lanes);
  });
}

void sigmoid(float* x, long count) {
  by_sixteen(count, [&](long i, int lanes) {
    const VF below = add(splat(1.0f), exponential(sub(splat(0.0f), load_part(x + i, lanes))));
    store_part(x + i, div(splat(1.0f), below), lanes);
  });
}

}  // namespace
