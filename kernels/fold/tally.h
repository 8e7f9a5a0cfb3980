// What a chip's tokens of one exchange ask of each shard: rows, choices, and which experts.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace perfuse::fold {

constexpr int kNobody = 0xFFFF;  // in choices, as they are kept: an expert that lives elsewhere

// Who owns an expert, and as which of its own.
struct Owners {
  int num_shards = 0;
  int words = 1;  // of a mask over the experts that a shard owns
  std::vector<uint16_t> shards, slots;

  Owners(int num_shards, const std::vector<int>& owners);
};

// Of one chip: rows and choices [S], masks [S, words].
struct Tally {
  std::vector<uint32_t> rows, choices;
  std::vector<uint64_t> masks;

  explicit Tally(const Owners& owners)
      : rows(size_t(owners.num_shards)), choices(rows.size()),
        masks(rows.size() * size_t(owners.words)) {}
  void clear() {
    std::fill(rows.begin(), rows.end(), 0);
    std::fill(choices.begin(), choices.end(), 0);
    std::fill(masks.begin(), masks.end(), 0);
  }
};

// Counts the choices of `tokens` x `each` experts; adds what each expert gets.
class Counter {
 public:
  explicit Counter(const Owners& owners)
      : owners_(owners), last_(size_t(owners.num_shards), 0) {}

  void count(const uint16_t* experts, int64_t tokens, int64_t each, Tally& tally,
             int64_t* expert_tokens);

 private:
  const Owners& owners_;
  std::vector<uint64_t> last_;  // by shard: number of the token that was counted last
  uint64_t num_tokens_ = 0;
};

// Tokens of which others are drawn, kept as what each adds to a tally.
//
// Where few experts lie on few shards, in lines of 64 bytes: one for 32 shards, so that a token is
// a few vector additions, and comes from memory as a whole. Else as a list of the shards it asks.
class Pool {
 public:
  Pool(const Owners& owners, std::vector<uint16_t> experts, int64_t layers, int64_t size,
       int64_t each);

  int64_t num_layers() const { return layers_; }

  // Draws `tokens` by the key, and adds them up.
  void draw(uint64_t seed, uint64_t chip, uint64_t step, uint64_t layer, int64_t tokens,
            Tally& tally);

  // By expert, of all that were drawn.
  const std::vector<int64_t>& expert_tokens();

 private:
  static constexpr int64_t kBlock = 32;  // shards of a line

  // choices: of shard s the lower half of byte s, of shard 16 + s its upper half.
  struct alignas(64) Line {
    uint8_t choices[kBlock / 2], masks[kBlock];
    uint64_t drawn;  // how often; of a token's first line
  };
  struct Asked {
    uint16_t shard, slot;  // slot: of the first one; the others follow in entries of no rows
    uint32_t rows;
  };
  void make_dense();
  void make_sparse();
  void add_dense(int64_t layer, const uint32_t* picks, int64_t count, Tally& tally);
  void add_sums(const uint8_t* sums, int64_t first, Tally& tally) const;
  void add_sparse(int64_t layer, const uint32_t* picks, int64_t count, Tally& tally);

  const Owners& owners_;
  std::vector<uint16_t> experts_;  // [layers, size, each]
  int64_t layers_, size_, each_, blocks_ = 0, most_ = 1;
  std::vector<Line> dense_;  // [layers, size, blocks]
  std::vector<uint32_t> begins_;
  std::vector<Asked> asked_;
  std::vector<uint64_t> drawn_;  // [layers, size]: how often, where there are lists
  std::vector<int64_t> expert_tokens_;
  bool is_counted_ = false;  // in expert_tokens_: none was drawn since
  std::vector<uint32_t> picks_;
};

}  // namespace perfuse::fold
