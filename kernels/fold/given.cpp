// What a group is given to do: pools of tokens, and stretches of steps.
#include "calls.h"

#include <algorithm>
#include <cstring>

#include "fold.h"

namespace perfuse::fold {
namespace {

constexpr int64_t kLaunchMax = int64_t{1} << 50;
constexpr int64_t kTokensMax = 1 << 20;
constexpr int64_t kStretchMax = 1 << 16;
constexpr int64_t kMessageNsMax = int64_t{1} << 44;
constexpr int64_t kPoolMax = int64_t{1} << 28;

// Tokens with `each` experts, in as few bits as they need; an expert at most once a token.
std::vector<uint16_t> experts_of(const Fold& group, const Array& given, int64_t each) {
  const int64_t tokens = each ? given.count() / each : 0;
  std::vector<uint16_t> experts;
  experts.reserve(size_t(tokens * each));
  std::vector<int64_t> seen(size_t(group.num_experts()), -1);
  const char* layer = given.data;
  long index[4] = {0, 0, 0, 0};
  for (int64_t t = 0; t < tokens; ++t) {
    const char* token = layer;
    for (int d = 0; d + 1 < given.ndim; ++d) token += index[d] * given.strides[d];
    for (int64_t k = 0; k < each; ++k) {
      int32_t expert;
      std::memcpy(&expert, token + k * given.strides[given.ndim - 1], sizeof expert);
      if (expert < -1 || expert >= group.num_experts()) {
        refuse("choices name expert " + std::to_string(expert) + "; there are " +
               std::to_string(group.num_experts()));
      }
      experts.push_back(uint16_t(expert));
      if (expert < 0) continue;
      if (seen[size_t(expert)] == t) {
        refuse("a token chooses expert " + std::to_string(expert) + " twice");
      }
      seen[size_t(expert)] = t;
    }
    for (int d = given.ndim - 2; d >= 0 && ++index[d] == given.shape[d]; --d) index[d] = 0;
  }
  return experts;
}

int idle_chip(Fold& group, const Argument& argument) {
  const int chip = chip_of(group, argument);
  if (group.has_stretch(chip)) {
    refuse("chip " + std::to_string(chip) + " has a stretch that has not ended");
  }
  return chip;
}

std::unique_ptr<Stretch> stretch_of(const Fold& group, const Argument* a) {
  auto stretch = std::make_unique<Stretch>();
  stretch->start_ns = integer(a[0], "start_ns", group.now_ns(), kTimeMax);
  const Array& launches = array(a[1], "launches_ns", 2, {"int64"});
  stretch->num_steps = launches.shape[0];
  if (stretch->num_steps < 1 || stretch->num_steps > kStretchMax) {
    refuse("launches_ns has shape " + shown_shape(launches) + "; it must be of 1 to " +
           std::to_string(kStretchMax) + " steps");
  }
  expect(launches, "launches_ns", 1, long(group.num_exchanges() + 1));
  for (long i = 0; i < launches.shape[0]; ++i) {
    for (long j = 0; j < launches.shape[1]; ++j) {
      const int64_t took_ns = element<int64_t>(launches, i, j);
      if (took_ns < 0 || took_ns > kLaunchMax) {
        refuse("launches_ns has " + std::to_string(took_ns) + "; it is 0 to 2^50");
      }
      stretch->launches_ns.push_back(took_ns);
    }
  }
  return stretch;
}

// No message of a step takes so long that times of all of them run over.
void check_tokens(const Fold& group, int64_t tokens) {
  if (tokens > kTokensMax) {
    refuse("tokens is " + std::to_string(tokens) + "; it must be at most 2^20");
  }
  const Terms& terms = group.terms();
  const int64_t bytes = std::max(terms.dispatch_fixed + terms.dispatch_row * tokens,
                                 terms.combine_fixed + terms.combine_row * tokens);
  const int64_t rate = std::min(terms.chip_rate, terms.shard_rate);
  if (double(bytes) * 1e9 / double(rate) > double(kMessageNsMax)) {
    refuse("a message of " + std::to_string(bytes) + " bytes takes longer than 2^44 ns, 5 hours, " +
           "at " + std::to_string(rate) + " bytes a second");
  }
}

}  // namespace

void add_pool(const Argument* a, Result& result) {
  Fold& group = folded(a[0]);
  const Array& given = array(a[1], "a pool", 3, {"int32"});
  const int64_t layers = given.shape[0], size = given.shape[1], each = given.shape[2];
  if (!given.count() || given.count() > kPoolMax) {
    refuse("a pool has shape " + shown_shape(given) + "; it must be [X, P, K], of 1 to 2^28");
  }
  if (layers != 1 && layers != group.num_exchanges()) {
    refuse("a pool is of " + std::to_string(layers) + " exchanges; it must be of " +
           std::to_string(group.num_exchanges()) + ", or of 1 for all");
  }
  std::vector<uint16_t> experts = experts_of(group, given, each);
  result.set(int64_t{group.add_pool(std::move(experts), layers, size, each)});
}

void begin(const Argument* a, Result&) {
  Fold& group = folded(a[0]);
  const int chip = idle_chip(group, a[1]);
  auto stretch = stretch_of(group, a + 2);
  const Array& experts = array(a[4], "experts", 4, {"int32"});
  if (experts.shape[0] != stretch->num_steps || experts.shape[1] != group.num_exchanges()) {
    refuse("experts have shape " + shown_shape(experts) + "; they must be [" +
           std::to_string(stretch->num_steps) + ", " + std::to_string(group.num_exchanges()) +
           ", T, K]");
  }
  stretch->tokens = experts.shape[2];
  stretch->each = experts.shape[3];
  check_tokens(group, stretch->tokens);
  stretch->experts = experts_of(group, experts, stretch->each);
  group.begin(chip, std::move(stretch));
}

void begin_drawn(const Argument* a, Result&) {
  Fold& group = folded(a[0]);
  const int chip = idle_chip(group, a[1]);
  auto stretch = stretch_of(group, a + 2);
  stretch->pool = &group.pool(int(integer(a[4], "pool", 0, group.num_pools() - 1)));
  stretch->tokens = integer(a[5], "tokens", 0, kTokensMax);
  stretch->seed = uint64_t(integer(a[6], "seed", INT64_MIN, INT64_MAX));
  stretch->first_step = uint64_t(integer(a[7], "first_step", 0, int64_t{1} << 60));
  check_tokens(group, stretch->tokens);
  group.begin(chip, std::move(stretch));
}

}  // namespace perfuse::fold
