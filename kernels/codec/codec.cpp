// What tokens look like on the way to their experts, and how contributions come together again.
//
// Rows (packed_row.h) lie by destination, each destination's by token: its part of the payload is
// one message.
#include <algorithm>
#include <numeric>

#include "../native/cpu.h"
#include "../native/functions.h"
#include "../native/panels.h"
#include "packed_row.h"
#include "rows.h"

namespace perfuse {
namespace {

constexpr long kDestinationsMax = 65536;

long row_bytes(long hidden) { return packed_row_bytes(hidden); }

PackedRow packed_row(char* payload, long row, long hidden) {
  return PackedRow::at(payload + row * row_bytes(hidden), hidden);
}

void encode_row(const Array& x, long token, long hidden, float* room, int32_t* sums, int8_t* codes,
                float* scales) {
  read_floats(x, token, hidden, room);
  kernels().to_int8(room, hidden, kGroup, codes, scales, sums);
}

void encode(const Argument* a, Result&) {
  const Array& x = array(a[0], "x_TH", 2, {"float32"});
  const Array& codes = output(a[1], "codes_TH", 2, "int8", 1);
  const Array& scales = output(a[2], "scales_TG", 2, "float32", 4);
  const long tokens = x.shape[0], hidden = x.shape[1], groups = num_groups(hidden);
  expect(codes, "codes_TH", 0, tokens);
  expect(codes, "codes_TH", 1, hidden);
  expect(scales, "scales_TG", 0, tokens);
  expect(scales, "scales_TG", 1, groups);
  Scratch& scratch = Scratch::begin(size_t(hidden) * 4 + size_t(groups) * 4 + 256);
  float* room = scratch.take<float>(size_t(hidden));
  int32_t* sums = scratch.take<int32_t>(size_t(groups));
  for (long t = 0; t < tokens; ++t) {
    encode_row(x, t, hidden, room, sums, reinterpret_cast<int8_t*>(codes.data) + t * hidden,
               reinterpret_cast<float*>(scales.data) + t * groups);
  }
}

void decode(const Argument* a, Result&) {
  const Array& codes = array(a[0], "codes_TH", 2, {"int8"});
  const Array& scales = array(a[1], "scales_TG", 2, {"float32"});
  const Array& out = output(a[2], "out_TH", 2, "float32", 4);
  const long tokens = codes.shape[0], hidden = codes.shape[1], groups = num_groups(hidden);
  expect(scales, "scales_TG", 0, tokens);
  expect(scales, "scales_TG", 1, groups);
  expect(out, "out_TH", 0, tokens);
  expect(out, "out_TH", 1, hidden);
  std::vector<int8_t> row(size_t(hidden) + 1);
  std::vector<float> row_scales(size_t(groups) + 1);
  for (long t = 0; t < tokens; ++t) {
    for (long h = 0; h < hidden; ++h) row[size_t(h)] = element<int8_t>(codes, t, h);
    read_floats(scales, t, groups, row_scales.data());
    kernels().from_int8(row.data(), row_scales.data(), hidden,
                        reinterpret_cast<float*>(out.data) + t * hidden);
  }
}

// Returns the number of rows. A token that names a destination twice is sent once.
void pack(const Argument* a, Result& result) {
  const Array& x = array(a[0], "x_TH", 2, {"float32"});
  const Array& destinations = array(a[1], "destinations_TD", 2, {"int32", "int64"});
  const Array& payload = output(a[2], "payload", 2, "uint8", 1);
  const Array& tokens_out = output(a[3], "tokens_R", 1, "int32", 4);
  const Array& offsets_out = output(a[4], "offsets", 1, "int64", 8);
  const long tokens = x.shape[0], hidden = x.shape[1], named = destinations.shape[1];
  const long count = offsets_out.shape[0] - 1, room_rows = payload.shape[0];
  expect(destinations, "destinations_TD", 0, tokens);
  expect(payload, "payload", 1, row_bytes(hidden));
  expect(tokens_out, "tokens_R", 0, room_rows);
  if (count < 1 || count > kDestinationsMax) {
    refuse("offsets has shape " + shown_shape(offsets_out) + "; it must have from 2 to " +
           std::to_string(kDestinationsMax + 1) + " elements");
  }
  if (reinterpret_cast<uintptr_t>(payload.data) % 4) refuse("payload must be aligned to 4 bytes");
  // Rows of each destination, then where each begins, then where its next row goes.
  std::vector<int64_t> next(size_t(count) + 1, 0);
  std::vector<int64_t> last(size_t(count), -1);
  const auto each = [&](auto visit) {
    std::fill(last.begin(), last.end(), -1);
    for (long t = 0; t < tokens; ++t) {
      for (long d = 0; d < named; ++d) {
        const int64_t to = whole_number(destinations, t, d);
        if (to >= count) refuse("destinations_TD names " + std::to_string(to) + "; there are " +
                                std::to_string(count));
        if (to < 0 || last[size_t(to)] == t) continue;
        last[size_t(to)] = t;
        visit(t, to);
      }
    }
  };
  each([&](long, int64_t to) { ++next[size_t(to) + 1]; });
  std::partial_sum(next.begin(), next.end(), next.begin());
  const int64_t rows = next[size_t(count)];
  if (rows > room_rows) {
    refuse("payload has room for " + std::to_string(room_rows) + " rows; " + std::to_string(rows) +
           " are needed");
  }
  std::copy(next.begin(), next.end(), reinterpret_cast<int64_t*>(offsets_out.data));
  std::memset(payload.data, 0, size_t(rows * row_bytes(hidden)));
  const long groups = num_groups(hidden);
  Scratch& scratch = Scratch::begin(size_t(hidden) * 4 + size_t(groups) * 4 + 256);
  float* room = scratch.take<float>(size_t(hidden));
  int32_t* sums = scratch.take<int32_t>(size_t(groups));
  int32_t* out_tokens = reinterpret_cast<int32_t*>(tokens_out.data);
  long encoded = -1;
  PackedRow first{};
  each([&](long t, int64_t to) {
    const int64_t row = next[size_t(to)]++;
    const PackedRow packed = packed_row(payload.data, row, hidden);
    if (t == encoded) {  // to one more destination: the same bytes
      std::memcpy(packed.codes, first.codes, size_t(row_bytes(hidden)));
    } else {
      encode_row(x, t, hidden, room, sums, packed.codes, packed.scales);
      encoded = t, first = packed;
    }
    out_tokens[row] = int32_t(t);
  });
  result.set(rows);
}

void unpack(const Argument* a, Result&) {
  const Array& payload = array(a[0], "payload", 2, {"uint8"});
  const Array& out = output(a[1], "out_RH", 2, "float32", 4);
  const long rows = out.shape[0], hidden = out.shape[1], groups = num_groups(hidden);
  expect(payload, "payload", 0, rows);
  expect(payload, "payload", 1, row_bytes(hidden));
  if (!payload.rows_are_whole(1)) refuse("rows of payload must lie without gaps");
  std::vector<float> scales(size_t(groups) + 1);
  for (long r = 0; r < rows; ++r) {
    const char* data = payload.data + r * payload.strides[0];
    std::memcpy(scales.data(), data + packed_scales_at(hidden), size_t(groups) * 4);
    kernels().from_int8(reinterpret_cast<const int8_t*>(data), scales.data(), hidden,
                        reinterpret_cast<float*>(out.data) + r * hidden);
  }
}

// Adds rows to their tokens by ascending rank, whatever the order in which they arrived.
void reduce(const Argument* a, Result&) {
  const Array& rows = array(a[0], "rows_RH", 2, {"float32"});
  const Array& tokens = array(a[1], "tokens_R", 1, {"int32", "int64"});
  const Array& ranks = array(a[2], "ranks_R", 1, {"int32", "int64"});
  const Array& out = output(a[3], "out_TH", 2, "float32", 4);
  const long count = rows.shape[0], hidden = rows.shape[1];
  expect(tokens, "tokens_R", 0, count);
  expect(ranks, "ranks_R", 0, count);
  expect(out, "out_TH", 1, hidden);
  struct Key {
    int64_t token, rank;
    long row;
  };
  std::vector<Key> order;
  order.reserve(size_t(count));
  for (long r = 0; r < count; ++r) {
    const int64_t token = whole_number(tokens, r);
    if (token < 0) continue;  // an unused slot
    if (token >= out.shape[0]) refuse("tokens_R names token " + std::to_string(token) +
                                      "; there are " + std::to_string(out.shape[0]));
    order.push_back({token, whole_number(ranks, r), r});
  }
  std::sort(order.begin(), order.end(), [](const Key& x, const Key& y) {
    return x.token != y.token ? x.token < y.token : x.rank < y.rank;
  });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i].token == order[i - 1].token && order[i].rank == order[i - 1].rank) {
      refuse("rank " + std::to_string(order[i].rank) + " sends token " +
             std::to_string(order[i].token) + " twice; the order of its rows would be chance");
    }
  }
  std::memset(out.data, 0, size_t(out.count()) * 4);
  std::vector<float> room(size_t(hidden) + 1);
  for (const Key& key : order) {
    const float* row = reinterpret_cast<const float*>(rows.data + key.row * rows.strides[0]);
    if (!rows.rows_are_whole(4) || reinterpret_cast<uintptr_t>(row) % 4) {
      read_floats(rows, key.row, hidden, room.data());
      row = room.data();
    }
    kernels().add(row, hidden, reinterpret_cast<float*>(out.data) + key.token * hidden);
  }
}

void bytes_of_row(const Argument* a, Result& result) {
  result.set(int64_t{row_bytes(integer(a[0], "hidden", 1, 1 << 24))});
}

}  // namespace

Functions codec_functions() {
  Functions all = row_functions();
  const Functions ours = {{"codec_encode", encode, 3, false}, {"codec_decode", decode, 3, false},
                          {"codec_pack", pack, 5, false},     {"codec_unpack", unpack, 2, false},
                          {"codec_reduce", reduce, 4, false},
                          {"codec_row_bytes", bytes_of_row, 1, true}};
  all.insert(all.end(), ours.begin(), ours.end());
  return all;
}

}  // namespace perfuse
