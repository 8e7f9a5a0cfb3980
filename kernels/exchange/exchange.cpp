// Tokens spread over the shards that own their experts, and the shards' partial sums merged again.
//
// Rows lie shard by shard, tokens in order: each shard's run of them is one message. Nothing is
// rounded but the sums, one addition at a time.
#include <cstring>
#include <vector>

#include "../native/functions.h"

namespace perfuse {
namespace {

constexpr long kShardsMax = 65536;
constexpr int32_t kNobody = -1;

// Index of the shard that owns an expert; NOBODY, as an expert, has the last owner, which is none.
int32_t owner_of(const Array& owners, int64_t expert, long num_shards) {
  const long num_experts = owners.shape[0] - 1;
  if (expert < kNobody || expert >= num_experts) {
    refuse("experts_TK names expert " + std::to_string(expert) + "; there are " +
           std::to_string(num_experts));
  }
  const int32_t owner = element<int32_t>(owners, expert < 0 ? num_experts : expert);
  if (owner < kNobody || owner >= num_shards) {
    refuse("owners_E names shard " + std::to_string(owner) + "; there are " +
           std::to_string(num_shards));
  }
  return owner;
}

bool is_first(const int32_t* owners, long k) {
  for (long i = 0; i < k; ++i) {
    if (owners[i] == owners[k]) return false;
  }
  return true;
}

template <class T>
void copy_row(const Array& from, long row, T* to) {
  const long count = from.shape[1];
  if (from.rows_are_whole(sizeof(T))) {
    std::memcpy(to, from.data + row * from.strides[0], size_t(count) * sizeof(T));
    return;
  }
  for (long j = 0; j < count; ++j) to[j] = element<T>(from, row, j);
}

// Rows as they travel: float32, bf16 as uint16, or bytes that say themselves what they are.
long item_bytes(const Array& rows) {
  return rows.is("float32") ? 4 : rows.is("uint16") ? 2 : 1;
}

void copy_row(const Array& from, long row, char* to) {
  switch (item_bytes(from)) {
    case 4: return copy_row(from, row, reinterpret_cast<float*>(to));
    case 2: return copy_row(from, row, reinterpret_cast<uint16_t*>(to));
    default: return copy_row(from, row, reinterpret_cast<uint8_t*>(to));
  }
}

template <class T>
T* data_of(const Array& array) {
  return reinterpret_cast<T*>(array.data);
}

void spread(const Argument* a, Result& result) {
  const Array& owners = array(a[0], "owners_E", 1, {"int32"});
  const Array& ends = output(a[1], "ends_S", 1, "int64", 8);
  const Array& requests = array(a[2], "requests_T", 1, {"uint64"});
  const Array& positions = array(a[3], "positions_T", 1, {"int64"});
  const Array& experts = array(a[4], "experts_TK", 2, {"int32"});
  const Array& weights = array(a[5], "weights_TK", 2, {"float32"});
  const Array& hidden = array(a[6], "hidden_TH", 2, {"float32", "uint16", "uint8"});
  const long num_shards = ends.shape[0], tokens = experts.shape[0], each = experts.shape[1];
  const long width = hidden.shape[1];
  if (owners.shape[0] < 1) refuse("owners_E is empty; its last entry must be NOBODY's");
  if (num_shards > kShardsMax) refuse("ends_S has room for more than 65536 shards");
  expect(requests, "requests_T", 0, tokens);
  expect(positions, "positions_T", 0, tokens);
  expect(weights, "weights_TK", 0, tokens);
  expect(weights, "weights_TK", 1, each);
  expect(hidden, "hidden_TH", 0, tokens);
  const Array& rows_out = output(a[7], "rows_N", 1, "int64", 8);
  const Array& requests_out = output(a[8], "requests_N", 1, "uint64", 8);
  const Array& positions_out = output(a[9], "positions_N", 1, "int64", 8);
  const Array& experts_out = output(a[10], "experts_NK", 2, "int32", 4);
  const Array& weights_out = output(a[11], "weights_NK", 2, "float32", 4);
  const long item = item_bytes(hidden);
  const Array& hidden_out = output(a[12], "hidden_NH", 2, hidden.dtype, item);
  const long room = tokens * (each < num_shards ? each : num_shards);
  expect(rows_out, "rows_N", 0, room);
  expect(requests_out, "requests_N", 0, room);
  expect(positions_out, "positions_N", 0, room);
  expect(experts_out, "experts_NK", 0, room);
  expect(experts_out, "experts_NK", 1, each);
  expect(weights_out, "weights_NK", 0, room);
  expect(weights_out, "weights_NK", 1, each);
  expect(hidden_out, "hidden_NH", 0, room);
  expect(hidden_out, "hidden_NH", 1, width);

  std::vector<int32_t> owner(size_t(tokens * each));
  std::vector<long> next(size_t(num_shards) + 1);  // of each shard, where its next row goes
  for (long t = 0; t < tokens; ++t) {
    int32_t* mine = owner.data() + t * each;
    for (long k = 0; k < each; ++k) {
      mine[k] = owner_of(owners, element<int32_t>(experts, t, k), num_shards);
      if (mine[k] != kNobody && is_first(mine, k)) ++next[size_t(mine[k]) + 1];
    }
  }
  for (long s = 0; s < num_shards; ++s) {
    next[size_t(s) + 1] += next[size_t(s)];
    data_of<int64_t>(ends)[s] = next[size_t(s) + 1];
  }
  const long num_rows = next[size_t(num_shards)];
  for (long t = 0; t < tokens; ++t) {
    const int32_t* mine = owner.data() + t * each;
    for (long k = 0; k < each; ++k) {
      if (mine[k] == kNobody || !is_first(mine, k)) continue;
      const long row = next[size_t(mine[k])]++;
      data_of<int64_t>(rows_out)[row] = t;
      data_of<uint64_t>(requests_out)[row] = element<uint64_t>(requests, t);
      data_of<int64_t>(positions_out)[row] = element<int64_t>(positions, t);
      int32_t* row_experts = data_of<int32_t>(experts_out) + row * each;
      for (long i = 0; i < each; ++i) {  // elsewhere it is nobody: each contributes once
        row_experts[i] = mine[i] == mine[k] ? element<int32_t>(experts, t, i) : kNobody;
      }
      copy_row(weights, t, data_of<float>(weights_out) + row * each);
      copy_row(hidden, t, hidden_out.data + row * width * item);
    }
  }
  result.set(int64_t{num_rows});
}

template <class T>
double number(T value) {
  return double(value);
}

template <>
double number<uint16_t>(uint16_t value) {  // bf16
  const uint32_t bits = uint32_t{value} << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return double(wide);
}

// Whole rows, as they nearly always are, a vector at a time; at any alignment.
template <class T, class F>
void each_of_row(const Array& from, long row, const F& work) {
  const long count = from.shape[1];
  if (from.rows_are_whole(sizeof(T))) {
    const char* values = from.data + row * from.strides[0];
    for (long j = 0; j < count; ++j) {
      T value;
      std::memcpy(&value, values + j * long(sizeof value), sizeof value);
      work(j, number(value));
    }
    return;
  }
  for (long j = 0; j < count; ++j) work(j, number(element<T>(from, row, j)));
}

template <class T>
void add_rows(const Array& rows, const Array& partial, const Array& sums) {
  const long width = sums.shape[1];
  for (long n = 0; n < rows.shape[0]; ++n) {
    double* to = data_of<double>(sums) + element<int64_t>(rows, n) * width;
    each_of_row<T>(partial, n, [&](long j, double value) { to[j] += value; });
  }
}

void add(const Argument* a, Result&) {
  const Array& sums = output(a[0], "sums_TH", 2, "float64", 8);
  const Array& rows = array(a[1], "rows_N", 1, {"int64"});
  const Array& partial = array(a[2], "partial_NH", 2, {"float32", "float64", "uint16"});
  expect(partial, "partial_NH", 0, rows.shape[0]);
  expect(partial, "partial_NH", 1, sums.shape[1]);
  for (long n = 0; n < rows.shape[0]; ++n) {
    const int64_t row = element<int64_t>(rows, n);
    if (row < 0 || row >= sums.shape[0]) {
      refuse("rows_N names row " + std::to_string(row) + "; there are " +
             std::to_string(sums.shape[0]));
    }
  }
  if (partial.is("float32")) {
    add_rows<float>(rows, partial, sums);
  } else if (partial.is("uint16")) {
    add_rows<uint16_t>(rows, partial, sums);
  } else {
    add_rows<double>(rows, partial, sums);
  }
}

template <class T>
void merge_rows(const Array& x, const Array& sums) {
  const long width = x.shape[1];
  for (long t = 0; t < x.shape[0]; ++t) {
    float* to = data_of<float>(x) + t * width;
    each_of_row<T>(sums, t, [&](long j, double value) { to[j] = float(double(to[j]) + value); });
  }
}

void merge(const Argument* a, Result&) {
  const Array& x = output(a[0], "x_TH", 2, "float32", 4);
  const Array& sums = array(a[1], "sums_TH", 2, {"float32", "float64"});
  expect(sums, "sums_TH", 0, x.shape[0]);
  expect(sums, "sums_TH", 1, x.shape[1]);
  if (sums.is("float32")) {
    merge_rows<float>(x, sums);
  } else {
    merge_rows<double>(x, sums);
  }
}

}  // namespace

Functions exchange_functions() {
  return {{"exchange_spread", spread, 13, true},
          {"exchange_add", add, 3, true},
          {"exchange_merge", merge, 2, true}};
}

}  // namespace perfuse
