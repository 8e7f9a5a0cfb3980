// The all-to-all as Python calls it: every shape is checked here, once a call.
#include "calls.h"

namespace perfuse {
namespace {

using namespace a2a;

void layout(const Argument* a, Result&) {
  const Layout found(geometry_of(a[0]));
  const Array& out = output(a[1], "out", 1, "int64", 8);
  expect(out, "out", 0, 11);
  const int64_t values[11] = {found.arena_bytes,    found.work_begin,    found.work_bytes,
                              found.requests_at,    found.positions_at,  found.weights_at,
                              found.rows_at,        found.send_row_bytes, found.answers_begin,
                              found.answer_bytes,   found.back_row_bytes};
  std::memcpy(out.data, values, sizeof values);
}

void create(const Argument* a, Result& result) {
  const Geometry geometry = geometry_of(a[0]);
  const long rank = long(integer(a[1], "rank", 0, geometry.world - 1));
  const auto epoch = uint64_t(integer(a[2], "epoch", 1, kEpochMax));
  const int file = int(integer(a[3], "file", 0, INT32_MAX));
  result.give(new Member(geometry, rank, epoch, file, pipe_of(a[4])));
}

void attach(const Argument* a, Result&) {
  Member& m = member(a[0]);
  m.attach(rank_of(a[1], m), uint64_t(integer(a[2], "epoch", 1, kEpochMax)),
           int(integer(a[3], "file", 0, INT32_MAX)), int(integer(a[4], "process", 0, INT32_MAX)),
           pipe_of(a[5]));
}

void mark_dead(const Argument* a, Result&) {
  Member& m = member(a[0]);
  m.mark_dead(rank_of(a[1], m));
}

void life(const Argument* a, Result& result) {
  Member& m = member(a[0]);
  result.set(m.life_of(rank_of(a[1], m)));
}

void close(const Argument* a, Result&) { member(a[0]).close(); }

void dispatch_send(const Argument* a, Result& result) {
  Member& m = member(a[0]);
  const Geometry& g = m.geometry();
  const Array& owners = array(a[1], "owners_E", 1, {"int32"});
  expect(owners, "owners_E", 0, g.num_experts + 1);
  const Columns columns{
      array(a[2], "requests_T", 1, {"uint64"}), array(a[3], "positions_T", 1, {"int64"}),
      array(a[4], "experts_TK", 2, {"int32"}), array(a[5], "weights_TK", 2, {"float32"})};
  const RowSource rows(a[6], "hidden_TH", g.send, g.hidden);
  const long tokens = rows.count();
  if (tokens > INT32_MAX) refuse("hidden_TH has more than 2^31 - 1 rows");
  expect(columns.requests, "requests_T", 0, tokens);
  expect(columns.positions, "positions_T", 0, tokens);
  expect(columns.experts, "experts_TK", 0, tokens);
  expect(columns.experts, "experts_TK", 1, g.each);
  expect(columns.weights, "weights_TK", 0, tokens);
  expect(columns.weights, "weights_TK", 1, g.each);
  const int64_t tag = integer(a[7], "tag", INT64_MIN, INT64_MAX);
  const bool everyone = integer(a[8], "everyone", 0, 1) != 0;
  const Slice slice(a[10]);
  Flight* flight = m.dispatch_send(owners, columns, rows, tag, everyone, spin(a[9]), slice.ns);
  if (flight) {
    result.give(flight);
  } else {
    result.set(slice.not_yet());
  }
}

void dispatch_receive(const Argument* a, Result& result) {
  Member& m = member(a[0]);
  const Geometry& g = m.geometry();
  const Array& named = array(a[1], "sources", 1, {"int64"});
  std::vector<long> sources;
  std::vector<bool> seen(size_t(g.world), false);
  for (long i = 0; i < named.shape[0]; ++i) {
    const int64_t source = element<int64_t>(named, i);
    if (source < 0 || source >= g.world || seen[size_t(source)]) {
      refuse("sources names rank " + std::to_string(source) + "; each must be named once, from 0 "
             "to " + std::to_string(g.world - 1));
    }
    seen[size_t(source)] = true;
    sources.push_back(long(source));
  }
  const Array& found = output(a[2], "found", 2, "int64", 8);
  expect(found, "found", 0, 2 * g.world);
  expect(found, "found", 1, 5);
  const Array& experts = output(a[3], "experts", 4, "int32", 4);
  expect(experts, "experts", 0, 2);
  expect(experts, "experts", 1, g.world);
  expect(experts, "experts", 2, g.capacity);
  expect(experts, "experts", 3, g.each);
  const Slice slice(a[5]);
  long count = 0;
  const Verdict verdict =
      m.dispatch_receive(sources, found, experts, spin(a[4]), slice.ns, count);
  result.set(verdict.outcome == Outcome::DONE ? int64_t{count} : slice.number(verdict));
}

void combine_send(const Argument* a, Result& result) {
  Member& m = member(a[0]);
  const long source = rank_of(a[1], m, "source");
  const auto epoch = uint64_t(integer(a[2], "epoch", 1, kEpochMax));
  const auto round = uint64_t(integer(a[3], "round", 1, int64_t(kRoundsMax)));
  if (a[4].type == Argument::NONE) {
    result.set(m.combine_send(source, epoch, round, nullptr).number());
    return;
  }
  const RowSource rows(a[4], "sums_NH", m.geometry().back, m.geometry().hidden);
  result.set(m.combine_send(source, epoch, round, &rows).number());
}

void combine_receive(const Argument* a, Result& result) {
  Member& m = member(a[0]);
  Flight& flight = owned<Flight>(a[1], "dispatch");
  const RowFormat back = m.geometry().back;
  const bool asks = array(a[2], "sums_TH", 2, {"float32", "float64"}).is("float64");
  const bool wide = back == RowFormat::FP64 || (back == RowFormat::BF16 && asks);
  const Array& sums = output(a[2], "sums_TH", 2, wide ? "float64" : "float32", wide ? 8 : 4);
  expect(sums, "sums_TH", 1, m.geometry().hidden);
  const Array& lost = output(a[3], "lost", 1, "int64", 8);
  expect(lost, "lost", 0, m.geometry().world);
  const auto whole = Whole(integer(a[4], "whole", 0, 2));
  const Slice slice(a[6]);
  result.set(slice.number(m.combine_receive(flight, sums, lost, whole, spin(a[5]), slice.ns)));
}

void await_work(const Argument* a, Result& result) {
  result.set(int64_t{member(a[0]).await_work()});
}

void await_answers(const Argument* a, Result& result) {
  result.set(int64_t{member(a[0]).await_answers(owned<Flight>(a[1], "dispatch"))});
}

void drop(const Argument* a, Result&) { member(a[0]).drop(owned<Flight>(a[1], "dispatch")); }

// Tokens that went to a rank, or would have: their number.
void tokens_of(const Argument* a, Result& result) {
  const Flight& flight = owned<Flight>(a[0], "dispatch");
  const int64_t rank = integer(a[1], "rank", 0, kWorldMax);
  const Array& out = output(a[2], "tokens", 1, "int32", 4);
  expect(out, "tokens", 0, flight.num_tokens);
  int64_t count = 0;
  for (const Flight::Part& part : flight.parts) {
    if (part.rank != rank) continue;
    count = int64_t(part.tokens.size());
    std::memcpy(out.data, part.tokens.data(), size_t(count) * 4);
  }
  result.set(count);
}

}  // namespace

Functions all_to_all_functions() {
  Functions all{
      {"a2a_layout", layout, 2, true},
      {"a2a_create", create, 5, false},
      {"a2a_attach", attach, 6, false},
      {"a2a_mark_dead", mark_dead, 2, false},
      {"a2a_life", life, 2, false},
      {"a2a_close", close, 1, false},
      {"a2a_dispatch_send", dispatch_send, 11, false},
      {"a2a_dispatch_receive", dispatch_receive, 6, false},
      {"a2a_combine_send", combine_send, 5, false},
      {"a2a_combine_receive", combine_receive, 7, false},
      {"a2a_await_work", await_work, 1, false},
      {"a2a_await_answers", await_answers, 2, false},
      {"a2a_drop", drop, 2, false},
      {"a2a_tokens_of", tokens_of, 3, true}};
  for (const Function& function : wire_functions()) all.push_back(function);
  return all;
}

}  // namespace perfuse
