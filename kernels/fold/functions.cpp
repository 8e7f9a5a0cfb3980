// What Python calls.
#include "../native/functions.h"

#include "calls.h"

namespace perfuse {
namespace {

using fold::Fold;

constexpr int64_t kNodesMax = 1 << 16;
constexpr int64_t kExpertsMax = 65535;
constexpr int64_t kLaunchMax = int64_t{1} << 50;
constexpr int64_t kRateMax = 1'000'000'000'000'000;
constexpr int64_t kBytesMax = 1 << 24;

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

void cut(const Argument* a, Result&) {
  Fold& group = fold::folded(a[0]);
  group.cut(fold::chip_of(group, a[1]));
}

void advance(const Argument* a, Result& result) {
  Fold& group = fold::folded(a[0]);
  group.advance(integer(a[1], "until_ns", -1, INT64_MAX), integer(a[2], "each_step", 0, 1) != 0);
  result.set(int64_t(group.ended().size()));
}

// Chip, step, end, compute, wait and whether it is the last of each, and forgets them.
void ended(const Argument* a, Result&) {
  Fold& group = fold::folded(a[0]);
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
  const int64_t next_ns = fold::folded(a[0]).next_ns();
  result.set(next_ns == fold::kNever ? int64_t{-1} : next_ns);
}

void now(const Argument* a, Result& result) { result.set(fold::folded(a[0]).now_ns()); }

void fill(const Array& to, long column, const fold::EndCount& count) {
  int64_t* at = reinterpret_cast<int64_t*>(to.data) + column;
  for (const int64_t value : {count.messages_out, count.rows_out, count.busy_out_ns,
                              count.messages_in, count.rows_in, count.busy_in_ns}) {
    *at = value;
    at += to.shape[1];
  }
}

void counts(const Argument* a, Result&) {
  Fold& group = fold::folded(a[0]);
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
  return {{"fold_create", create, 13, true},     {"fold_pool", fold::add_pool, 2, true},
          {"fold_begin", fold::begin, 5, true},
          {"fold_begin_drawn", fold::begin_drawn, 8, true},
          {"fold_cut", cut, 2, true},            {"fold_advance", advance, 3, true},
          {"fold_ended", ended, 2, true},        {"fold_next", next, 1, true},
          {"fold_now", now, 1, true},            {"fold_counts", counts, 5, true},
          {"fold_under_way", fold::under_way, 4, true},
          {"fold_hold", fold::hold, 5, true},    {"fold_lengthen", fold::lengthen, 4, true},
          {"fold_leave", fold::leave, 4, true},  {"fold_come", fold::come, 5, true}};
}

}  // namespace perfuse
