// What Python calls.
#include "../native/functions.h"

#include "fold.h"

namespace perfuse {
namespace {

using fold::Fold;

constexpr int64_t kNodesMax = 1 << 16;
constexpr int64_t kExpertsMax = 65535;
constexpr int64_t kLaunchMax = int64_t{1} << 50;
constexpr int64_t kRateMax = 1'000'000'000'000'000;
constexpr int64_t kBytesMax = 1 << 24;
constexpr int64_t kTokensMax = 1 << 20;
constexpr int64_t kStretchMax = 1 << 16;
constexpr int64_t kMessageNsMax = int64_t{1} << 44;
constexpr int64_t kPoolMax = int64_t{1} << 28;

Fold& folded(const Argument& argument) { return owned<Fold>(argument, "a folded group"); }

std::vector<int64_t> numbers(const Argument& argument, const char* name, int64_t least,
                             int64_t most) {
  const Array& given = array(argument, name, 1, {"int64"});
  std::vector<int64_t> all;
  for (long i = 0; i < given.shape[0]; ++i) {
    const int64_t one = element<int64_t>(given, i);
    if (one < least || one > most) {
      refuse(std::string(name) + " has " + std::to_string(one) + "; it must be from " +
             std::to_string(least) + " to " + std::to_string(most));
    }
    all.push_back(one);
  }
  return all;
}

void expect_count(const std::vector<int64_t>& all, const char* name, size_t count) {
  if (all.size() != count) {
    refuse(std::string(name) + " has " + std::to_string(all.size()) + " entries, not " +
           std::to_string(count));
  }
}

std::vector<int> owners_of(const Argument& argument, int64_t shards) {
  std::vector<int> owners;
  for (const int64_t shard : numbers(argument, "owners_E", 0, shards - 1)) {
    owners.push_back(int(shard));
  }
  if (owners.empty() || int64_t(owners.size()) > kExpertsMax) {
    refuse("owners_E is of " + std::to_string(owners.size()) + " experts; it must be of 1 to " +
           std::to_string(kExpertsMax));
  }
  return owners;
}

// Links: bytes a second, latency and start-up of a chip's, then of a shard's.
fold::Terms terms_of(const Argument* a) {
  fold::Terms terms{};
  const std::vector<int64_t> links = numbers(a[0], "links", 0, kRateMax);
  expect_count(links, "links", 6);
  if (!links[0] || !links[3]) refuse("links has a rate of 0; it must be above it");
  const int64_t latency_ns = std::max(links[1], links[4]);
  terms.chip_rate = links[0];
  terms.shard_rate = links[3];
  terms.out_ns = latency_ns + links[2];
  terms.back_ns = latency_ns + links[5];
  if (!terms.out_ns || !terms.back_ns) refuse("links have no latency; it must be 1 ns or more");
  if (std::max(terms.out_ns, terms.back_ns) > kLaunchMax) refuse("links are longer than 2^50 ns");
  const std::vector<int64_t> sizes = numbers(a[1], "sizes", 0, kBytesMax);
  expect_count(sizes, "sizes", 4);
  if (!sizes[1] || !sizes[3]) refuse("sizes has a row of 0 bytes; it must have 1 or more");
  terms.dispatch_fixed = sizes[0];
  terms.dispatch_row = sizes[1];
  terms.combine_fixed = sizes[2];
  terms.combine_row = sizes[3];
  terms.overhead_ns = integer(a[2], "overhead_ns", 0, kLaunchMax);
  terms.reads_ns = numbers(a[3], "reads_ns", 0, kLaunchMax);
  return terms;
}

// Each term: whether it is of rows, its amount, its rate where that is an integer (0: it is none),
// and the rate as a float.
void add_computes(const Argument* a, fold::Terms& terms) {
  const std::vector<int64_t> of_rows = numbers(a[0], "of_rows", 0, 1);
  const std::vector<int64_t> amounts = numbers(a[1], "amounts", 0, int64_t{1} << 53);
  const std::vector<int64_t> whole = numbers(a[2], "whole_rates", 0, INT64_MAX);
  const Array& rates = array(a[3], "rates", 1, {"float64"});
  expect_count(amounts, "amounts", of_rows.size());
  expect_count(whole, "whole_rates", of_rows.size());
  expect(rates, "rates", 0, long(of_rows.size()));
  for (size_t i = 0; i < of_rows.size(); ++i) {
    const double rate = element<double>(rates, long(i));
    if (!(rate >= 1 && rate <= 1e24)) refuse("rates must be from 1 to 1e24");
    terms.computes.push_back({of_rows[i] != 0, amounts[i], rate, whole[i]});
  }
}

void create(const Argument* a, Result& result) {
  const int64_t chips = integer(a[0], "num_chips", 1, kNodesMax);
  const int64_t shards = integer(a[1], "num_shards", 1, kNodesMax);
  const int64_t exchanges = integer(a[2], "exchanges", 0, kNodesMax);
  if (chips * shards > int64_t{1} << 30) refuse("there are more than 2^30 pairs");
  const std::vector<int> owners = owners_of(a[3], shards);
  fold::Terms terms = terms_of(a + 4);
  add_computes(a + 8, terms);
  const Array& slow = array(a[12], "slow_S", 1, {"float64"});
  expect(slow, "slow_S", 0, long(shards));
  for (long i = 0; i < shards; ++i) {
    const double factor = element<double>(slow, i);
    if (!(factor >= 1e-3 && factor <= 1e6)) refuse("slow_S must be from 0.001 to 1e6");
    terms.slow.push_back(factor);
  }
  std::vector<size_t> held(size_t(shards), 0);
  for (const int shard : owners) {
    if (++held[size_t(shard)] >= terms.reads_ns.size()) refuse("reads_ns has too few entries");
  }
  result.give(new Fold(int(chips), int(shards), exchanges, owners, std::move(terms)));
}

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

int idle_chip(Fold& group, const Argument& argument) {
  const int chip = int(integer(argument, "chip", 0, group.num_chips() - 1));
  if (group.has_stretch(chip)) {
    refuse("chip " + std::to_string(chip) + " has a stretch that has not ended");
  }
  return chip;
}

std::unique_ptr<fold::Stretch> stretch_of(const Fold& group, const Argument* a) {
  auto stretch = std::make_unique<fold::Stretch>();
  stretch->start_ns = integer(a[0], "start_ns", group.now_ns(), fold::kTimeMax);
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
  const fold::Terms& terms = group.terms();
  const int64_t bytes = std::max(terms.dispatch_fixed + terms.dispatch_row * tokens,
                                 terms.combine_fixed + terms.combine_row * tokens);
  const int64_t rate = std::min(terms.chip_rate, terms.shard_rate);
  if (double(bytes) * 1e9 / double(rate) > double(kMessageNsMax)) {
    refuse("a message of " + std::to_string(bytes) + " bytes takes longer than 2^44 ns, 5 hours, " +
           "at " + std::to_string(rate) + " bytes a second");
  }
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

void cut(const Argument* a, Result&) {
  Fold& group = folded(a[0]);
  group.cut(int(integer(a[1], "chip", 0, group.num_chips() - 1)));
}

void advance(const Argument* a, Result& result) {
  Fold& group = folded(a[0]);
  group.advance(integer(a[1], "until_ns", -1, INT64_MAX));
  result.set(int64_t(group.ended().size()));
}

// Chip, step, end, compute, wait and whether it is the last of each, and forgets them.
void ended(const Argument* a, Result&) {
  Fold& group = folded(a[0]);
  const Array& to = output(a[1], "ended", 2, "int64", 8);
  expect(to, "ended", 0, long(group.ended().size()));
  expect(to, "ended", 1, 6);
  int64_t* at = reinterpret_cast<int64_t*>(to.data);
  for (const fold::Ended& one : group.ended()) {
    for (const int64_t value :
         {one.chip, one.step, one.end_ns, one.compute_ns, one.wait_ns, one.is_last}) {
      *at++ = value;
    }
  }
  group.ended().clear();
}

void next(const Argument* a, Result& result) {
  const int64_t next_ns = folded(a[0]).next_ns();
  result.set(next_ns == fold::kNever ? int64_t{-1} : next_ns);
}

void now(const Argument* a, Result& result) { result.set(folded(a[0]).now_ns()); }

void fill(const Array& to, long column, const fold::EndCount& count) {
  int64_t* at = reinterpret_cast<int64_t*>(to.data) + column;
  for (const int64_t value : {count.messages_out, count.rows_out, count.busy_out_ns,
                              count.messages_in, count.rows_in, count.busy_in_ns}) {
    *at = value;
    at += to.shape[1];
  }
}

void counts(const Argument* a, Result&) {
  const Fold& group = folded(a[0]);
  const Array& chips = output(a[1], "chips", 2, "int64", 8);
  const Array& shards = output(a[2], "shards", 2, "int64", 8);
  const Array& launches = output(a[3], "launches", 2, "int64", 8);
  const Array& experts = output(a[4], "expert_tokens_E", 1, "int64", 8);
  expect(chips, "chips", 0, 6);
  expect(chips, "chips", 1, group.num_chips());
  expect(shards, "shards", 0, 6);
  expect(shards, "shards", 1, group.num_shards());
  expect(launches, "launches", 0, 4);
  expect(launches, "launches", 1, group.num_shards());
  expect(experts, "expert_tokens_E", 0, group.num_experts());
  for (int i = 0; i < group.num_chips(); ++i) fill(chips, i, group.chip_count(i));
  int64_t* at = reinterpret_cast<int64_t*>(launches.data);
  const long columns = group.num_shards();
  for (int i = 0; i < group.num_shards(); ++i) {
    const fold::Shard& shard = group.shard(i);
    fill(shards, i, shard.count);
    at[i] = shard.launches;
    at[columns + i] = shard.compute_ns;
    at[2 * columns + i] = shard.choices;
    at[3 * columns + i] = shard.distinct;
  }
  const std::vector<int64_t> tokens = group.expert_tokens();
  std::copy(tokens.begin(), tokens.end(), reinterpret_cast<int64_t*>(experts.data));
}

}  // namespace

Functions fold_functions() {
  return {{"fold_create", create, 13, true},     {"fold_pool", add_pool, 2, true},
          {"fold_begin", begin, 5, true},        {"fold_begin_drawn", begin_drawn, 8, true},
          {"fold_cut", cut, 2, true},            {"fold_advance", advance, 2, true},
          {"fold_ended", ended, 2, true},        {"fold_next", next, 1, true},
          {"fold_now", now, 1, true},            {"fold_counts", counts, 5, true}};
}

}  // namespace perfuse
