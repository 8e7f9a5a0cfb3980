// Given choices and pools of tokens, counted by shard.
#include "tally.h"

#include <algorithm>
#include <cstring>

namespace perfuse::fold {
namespace {

constexpr int64_t kDenseShards = 128;  // beyond, lists are shorter
constexpr int kDenseExperts = 8;       // of a shard: a token's choices fit half a byte, none twice
constexpr int64_t kAhead = 16;         // tokens whose lines are asked for before they are added
constexpr int64_t kPicksMax = 4096;
constexpr uint64_t kStep = 0x9E3779B97F4A7C15;

// The finaliser of splitmix64.
inline uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// As pools.py has it.
uint64_t key_of(uint64_t seed, uint64_t chip, uint64_t step, uint64_t layer) {
  uint64_t key = seed;
  for (const uint64_t number : {chip, step, layer}) key = mixed(key + kStep) ^ number;
  return key;
}

using Bytes = uint8_t __attribute__((vector_size(16)));

inline Bytes loaded(const uint8_t* from) {
  Bytes bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return bytes;
}

inline void add_mask(uint64_t* mask, uint16_t slot) {
  mask[slot / 64] |= uint64_t{1} << (slot % 64);
}

}  // namespace

Owners::Owners(int shards_count, const std::vector<int>& owners) : num_shards(shards_count) {
  std::vector<uint16_t> held(size_t(num_shards), 0);
  for (const int shard : owners) {
    shards.push_back(uint16_t(shard));
    slots.push_back(held[size_t(shard)]++);
  }
  words = (std::max<int>(1, *std::max_element(held.begin(), held.end())) + 63) / 64;
}

void Counter::count(const uint16_t* experts, int64_t tokens, int64_t each, Tally& tally,
                    int64_t* expert_tokens) {
  for (int64_t t = 0; t < tokens; ++t) {
    ++num_tokens_;
    for (int64_t k = 0; k < each; ++k, ++experts) {
      if (*experts == kNobody) continue;
      const size_t shard = owners_.shards[*experts];
      ++expert_tokens[*experts];
      ++tally.choices[shard];
      tally.rows[shard] += last_[shard] != num_tokens_;
      last_[shard] = num_tokens_;
      add_mask(tally.masks.data() + shard * size_t(owners_.words), owners_.slots[*experts]);
    }
  }
}

Pool::Pool(const Owners& owners, std::vector<uint16_t> experts, int64_t layers, int64_t size,
           int64_t each)
    : owners_(owners), experts_(std::move(experts)), layers_(layers), size_(size), each_(each),
      picks_(size_t(kPicksMax)) {
  const int most = owners.slots.empty() ? 0 : *std::max_element(owners.slots.begin(),
                                                                owners.slots.end());
  if (most < kDenseExperts && owners.num_shards <= kDenseShards) {
    make_dense();
  } else {
    make_sparse();
  }
}

void Pool::make_dense() {
  blocks_ = (owners_.num_shards + kBlock - 1) / kBlock;
  dense_.assign(size_t(layers_ * size_ * blocks_), {});
  Line* token = dense_.data();
  const uint16_t* expert = experts_.data();
  for (int64_t i = 0; i < layers_ * size_; ++i, token += blocks_) {
    for (int64_t k = 0; k < each_; ++k, ++expert) {
      if (*expert == kNobody) continue;
      const int64_t shard = owners_.shards[*expert], at = shard % kBlock;
      const int shift = at < kBlock / 2 ? 0 : 4;
      Line& line = token[shard / kBlock];
      uint8_t& two = line.choices[at % (kBlock / 2)];
      two = uint8_t(two + (1 << shift));
      most_ = std::max<int64_t>(most_, two >> shift & 15);
      line.masks[at] |= uint8_t(1u << owners_.slots[*expert]);
    }
  }
}

void Pool::make_sparse() {
  drawn_.assign(size_t(layers_ * size_), 0);
  const uint16_t* token = experts_.data();
  for (int64_t i = 0; i < layers_ * size_; ++i, token += each_) {
    begins_.push_back(uint32_t(asked_.size()));
    for (int64_t k = 0; k < each_; ++k) {
      if (token[k] == kNobody) continue;
      const uint16_t shard = owners_.shards[token[k]];
      bool is_first = true;
      for (size_t j = begins_.back(); j < asked_.size(); ++j) is_first &= asked_[j].shard != shard;
      asked_.push_back({shard, owners_.slots[token[k]], is_first});
    }
  }
  begins_.push_back(uint32_t(asked_.size()));
}

void Pool::draw(uint64_t seed, uint64_t chip, uint64_t step, uint64_t layer, int64_t tokens,
                Tally& tally) {
  uint64_t bits = key_of(seed, chip, step, layer);
  const int64_t of = layer % uint64_t(layers_);
  is_counted_ = false;
  for (int64_t left = tokens; left > 0; left -= kPicksMax) {
    const int64_t count = std::min(left, kPicksMax);
    for (int64_t i = 0; i < count; i += 2) {
      bits += kStep;
      const uint64_t two = mixed(bits);
      picks_[size_t(i)] = uint32_t((two >> 32) * uint64_t(size_) >> 32);
      if (i + 1 < count) {
        picks_[size_t(i + 1)] = uint32_t((two & 0xFFFFFFFF) * uint64_t(size_) >> 32);
      }
    }
    if (blocks_) {
      add_dense(of, picks_.data(), count, tally);
    } else {
      add_sparse(of, picks_.data(), count, tally);
    }
  }
}

// As many tokens at a time as bytes hold.
void Pool::add_dense(int64_t layer, const uint32_t* picks, int64_t count, Tally& tally) {
  const int64_t chunk = 255 / most_;
  Line* base = dense_.data() + layer * size_ * blocks_;
  const Bytes low = Bytes{} + 15, none{};
  alignas(16) uint8_t sums[3 * kBlock];
  for (int64_t b = 0; b < blocks_; ++b, ++base) {
    const auto ask = [&](int64_t i) { __builtin_prefetch(base + int64_t(picks[i]) * blocks_, 1); };
    for (int64_t i = 0; i < std::min(count, kAhead); ++i) ask(i);
    for (int64_t begin = 0; begin < count; begin += chunk) {
      const int64_t end = std::min(count, begin + chunk);
      Bytes rows0{}, rows1{}, choices0{}, choices1{}, masks0{}, masks1{};
      for (int64_t i = begin; i < end; ++i) {
        if (i + kAhead < count) ask(i + kAhead);
        Line& line = base[int64_t(picks[i]) * blocks_];
        line.drawn += !b;
        const Bytes two = loaded(line.choices), first = two & low, second = two >> 4 & low;
        rows0 -= Bytes(first != none);  // true is -1
        rows1 -= Bytes(second != none);
        choices0 += first;
        choices1 += second;
        masks0 |= loaded(line.masks);
        masks1 |= loaded(line.masks + 16);
      }
      const Bytes all[] = {rows0, rows1, choices0, choices1, masks0, masks1};
      std::memcpy(sums, all, sizeof sums);
      add_sums(sums, b * kBlock, tally);
    }
  }
}

// sums: rows, choices and masks of the shards from `first` on.
void Pool::add_sums(const uint8_t* sums, int64_t first, Tally& tally) const {
  const int64_t here = std::min<int64_t>(kBlock, owners_.num_shards - first);
  uint32_t* rows = tally.rows.data() + first;
  uint32_t* choices = tally.choices.data() + first;
  uint64_t* masks = tally.masks.data() + first;
  for (int64_t s = 0; s < here; ++s) rows[s] += sums[s];
  for (int64_t s = 0; s < here; ++s) choices[s] += sums[kBlock + s];
  for (int64_t s = 0; s < here; ++s) masks[s] |= sums[2 * kBlock + s];
}

void Pool::add_sparse(int64_t layer, const uint32_t* picks, int64_t count, Tally& tally) {
  const uint32_t* begins = begins_.data() + layer * size_;
  uint64_t* drawn = drawn_.data() + layer * size_;
  for (int64_t i = 0; i < count; ++i) {
    ++drawn[picks[i]];
    const uint32_t end = begins[picks[i] + 1];
    for (uint32_t j = begins[picks[i]]; j < end; ++j) {
      const Asked& one = asked_[j];
      tally.rows[one.shard] += one.rows;
      ++tally.choices[one.shard];
      add_mask(tally.masks.data() + size_t(one.shard) * size_t(owners_.words), one.slot);
    }
  }
}

// Each of many shards may ask for what has not changed.
const std::vector<int64_t>& Pool::expert_tokens() {
  if (is_counted_) return expert_tokens_;
  is_counted_ = true;
  expert_tokens_.assign(owners_.shards.size(), 0);
  const uint16_t* expert = experts_.data();
  for (int64_t i = 0; i < layers_ * size_; ++i) {
    const uint64_t times = blocks_ ? dense_[size_t(i * blocks_)].drawn : drawn_[size_t(i)];
    for (int64_t k = 0; k < each_; ++k, ++expert) {
      if (*expert != kNobody) expert_tokens_[*expert] += int64_t(times);
    }
  }
  return expert_tokens_;
}

}  // namespace perfuse::fold
