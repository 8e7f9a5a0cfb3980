#include "rows.h"

#include <cstring>

#include "../codec/packed_row.h"
#include "../native/cpu.h"

namespace perfuse::a2a {
namespace {

struct Wire {
  const char* dtype;
  long item_bytes;
};

Wire wire_of(RowFormat format) {
  switch (format) {
    case RowFormat::BF16: return {"uint16", 2};
    case RowFormat::INT8: return {"uint8", 1};
    case RowFormat::FP64: return {"float64", 8};
    default: return {"float32", 4};
  }
}

// Scratch of the thread: a row of numbers, and sums of codes that nobody reads here.
struct RowRoom {
  std::vector<float> numbers;
  std::vector<int32_t> sums;

  static RowRoom& of(long hidden) {
    thread_local RowRoom room;
    if (long(room.numbers.size()) < hidden + 16) {
      room.numbers.resize(size_t(hidden) + 16);
      room.sums.resize(size_t(num_groups(hidden)) + 16);
    }
    return room;
  }
};

void write_int8(const float* numbers, long hidden, int32_t* sums, char* to, long bytes) {
  std::memset(to + hidden, 0, size_t(bytes - hidden));
  const PackedRow packed = PackedRow::at(to, hidden);
  kernels().to_int8(numbers, hidden, kGroup, packed.codes, packed.scales, sums);
}

template <class T>
void add_bf16(const char* row, long hidden, bool first, T* sum) {
  const auto* bits = reinterpret_cast<const uint16_t*>(row);
  for (long j = 0; j < hidden; ++j) {
    const uint32_t wide = uint32_t{bits[j]} << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    sum[j] = (first ? T{0} : sum[j]) + T{value};
  }
}

template <class T>
void add_plain(const char* row, long hidden, bool first, T* sum) {
  const T* values = reinterpret_cast<const T*>(row);
  if (first) {
    for (long j = 0; j < hidden; ++j) sum[j] = T{0} + values[j];
  } else {
    for (long j = 0; j < hidden; ++j) sum[j] += values[j];
  }
}

void sum_int8(const std::vector<const char*>& rows, long hidden, float* sum) {
  thread_local std::vector<const int8_t*> codes;
  thread_local std::vector<const float*> scales;
  codes.clear(), scales.clear();
  for (const char* row : rows) {
    const PackedRow packed = PackedRow::at(const_cast<char*>(row), hidden);
    codes.push_back(packed.codes), scales.push_back(packed.scales);
  }
  kernels().sum_int8(codes.data(), scales.data(), int(rows.size()), hidden, sum);
}

}  // namespace

RowSource::RowSource(const Argument& argument, const char* name, RowFormat format, long hidden)
    : array_(format == RowFormat::FP32
                 ? array(argument, name, 2, {"float32"})
                 : array(argument, name, 2, {"float32", wire_of(format).dtype})),
      format_(format),
      hidden_(hidden),
      bytes_(row_bytes(format, hidden)) {
  const Wire wire = wire_of(format);
  wire_ = array_.is(wire.dtype);
  expect(array_, name, 1, wire_ && format == RowFormat::INT8 ? bytes_ : hidden);
  const bool whole = array_.rows_are_whole(wire.item_bytes);
  if (wire_ && !whole && format != RowFormat::FP32) {
    refuse(std::string("rows of ") + name + " must lie without gaps");
  }
  wire_ = wire_ && whole;
  // Nothing behind a row is read: its end may be the array's.
  run_ = wire_ && array_.strides[0] == bytes_ && array_.shape[1] * wire.item_bytes == bytes_;
}

void RowSource::write(long row, char* to) const {
  const long item = wire_of(format_).item_bytes;
  if (wire_) {
    const long bytes = format_ == RowFormat::INT8 ? bytes_ : hidden_ * item;
    std::memcpy(to, array_.data + row * array_.strides[0], size_t(bytes));
    return;
  }
  RowRoom& room = RowRoom::of(hidden_);
  float* numbers = room.numbers.data();
  read_floats(array_, row, hidden_, numbers);
  switch (format_) {
    case RowFormat::BF16:
      return kernels().to_bf16(numbers, hidden_, reinterpret_cast<uint16_t*>(to));
    case RowFormat::INT8:
      return write_int8(numbers, hidden_, room.sums.data(), to, bytes_);
    case RowFormat::FP64:
      for (long j = 0; j < hidden_; ++j) reinterpret_cast<double*>(to)[j] = double(numbers[j]);
      return;
    default: std::memcpy(to, numbers, size_t(hidden_) * 4);
  }
}

void sum_rows(RowFormat format, const std::vector<const char*>& rows, long hidden, bool wide,
              void* sum) {
  if (format == RowFormat::INT8) return sum_int8(rows, hidden, static_cast<float*>(sum));
  if (rows.empty()) std::memset(sum, 0, size_t(hidden) * (wide ? 8 : 4));
  bool first = true;
  for (const char* row : rows) {
    if (format == RowFormat::FP64) {
      add_plain(row, hidden, first, static_cast<double*>(sum));
    } else if (format == RowFormat::BF16 && wide) {
      add_bf16(row, hidden, first, static_cast<double*>(sum));
    } else if (format == RowFormat::BF16) {
      add_bf16(row, hidden, first, static_cast<float*>(sum));
    } else {
      add_plain(row, hidden, first, static_cast<float*>(sum));
    }
    first = false;
  }
}

}  // namespace perfuse::a2a
