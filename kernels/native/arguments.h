// What a native function is called with, free of Python: numbers, text, handles and arrays.
//
// A function throws std::invalid_argument where an argument is not what it can take; the message
// names the argument, what it is, and what it must be. Nothing else may stop it: no argument may
// crash it.
#pragma once
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace perfuse {

// What a handle keeps alive: packed weights. `what` is shown in errors.
class Owned {
 public:
  virtual ~Owned() = default;
  virtual const char* what() const = 0;
};

// Element types by numpy's name; any alignment, any strides.
struct Array {
  char* data = nullptr;
  const char* dtype = "";
  bool writable = false;
  int ndim = 0;
  long shape[4] = {1, 1, 1, 1};
  long strides[4] = {0, 0, 0, 0};  // bytes

  bool is(const char* name) const { return std::strcmp(dtype, name) == 0; }
  bool rows_are_whole(long item_bytes) const {  // the last dimension lies without gaps
    return ndim == 0 || shape[ndim - 1] <= 1 || strides[ndim - 1] == item_bytes;
  }
  long count() const {
    long total = 1;
    for (int i = 0; i < ndim; ++i) total *= shape[i];
    return total;
  }
};

struct Argument {
  enum Type { NONE, INT, FLOAT, TEXT, ARRAY, HANDLE } type = NONE;
  int64_t integer = 0;
  double number = 0;
  const char* text = "";
  Array array;
  Owned* handle = nullptr;
};

struct Result {
  enum Type { NONE, INT, FLOAT, TEXT, HANDLE } type = NONE;
  int64_t integer = 0;
  double number = 0;
  std::string text;
  Owned* handle = nullptr;

  void set(int64_t value) { type = INT, integer = value; }
  void set(double value) { type = FLOAT, number = value; }
  void set(std::string value) { type = TEXT, text = std::move(value); }
  void give(Owned* owned) { type = HANDLE, handle = owned; }
};

struct Function {
  const char* name;
  void (*call)(const Argument* arguments, Result& result);
  int num_arguments;
  bool keep_gil;  // so short that letting others run costs more
};

[[noreturn]] inline void refuse(const std::string& message) {
  throw std::invalid_argument(message);
}

inline std::string shown_shape(const Array& array) {
  std::string text = "(";
  for (int i = 0; i < array.ndim; ++i) text += (i ? ", " : "") + std::to_string(array.shape[i]);
  return text + ")";
}

inline int64_t integer(const Argument& argument, const char* name, int64_t least, int64_t most) {
  if (argument.type != Argument::INT) refuse(std::string(name) + " must be an integer");
  if (argument.integer < least || argument.integer > most) {
    refuse(std::string(name) + " is " + std::to_string(argument.integer) + "; it must be from " +
           std::to_string(least) + " to " + std::to_string(most));
  }
  return argument.integer;
}

inline const Array& array(const Argument& argument, const char* name, int ndim,
                          std::initializer_list<const char*> dtypes) {
  if (argument.type != Argument::ARRAY) refuse(std::string(name) + " must be an array");
  const Array& a = argument.array;
  std::string names;
  for (const char* dtype : dtypes) {
    if (a.is(dtype)) {
      if (a.ndim == ndim) return a;
      refuse(std::string(name) + " has shape " + shown_shape(a) + "; it must have " +
             std::to_string(ndim) + " dimensions");
    }
    names += (names.empty() ? "" : " or ") + std::string(dtype);
  }
  refuse(std::string(name) + " has dtype " + a.dtype + "; it must be " + names);
}

inline void expect(const Array& a, const char* name, int dim, long size) {
  if (a.shape[dim] != size) {
    refuse(std::string(name) + " has shape " + shown_shape(a) + "; dimension " +
           std::to_string(dim) + " must be " + std::to_string(size));
  }
}

// An array that is written: C-contiguous, aligned and writable.
inline const Array& output(const Argument& argument, const char* name, int ndim,
                           const char* dtype, long item_bytes) {
  const Array& a = array(argument, name, ndim, {dtype});
  if (!a.writable) refuse(std::string(name) + " is read-only; it is written");
  long stride = item_bytes;
  bool whole = reinterpret_cast<uintptr_t>(a.data) % uintptr_t(item_bytes) == 0;
  for (int i = ndim - 1; i >= 0; --i) {
    whole = whole && (a.shape[i] <= 1 || a.strides[i] == stride);
    stride *= a.shape[i];
  }
  if (!whole && a.count()) refuse(std::string(name) + " must be C-contiguous and aligned");
  return a;
}

template <class T>
T& owned(const Argument& argument, const char* what) {
  T* thing = argument.type == Argument::HANDLE ? dynamic_cast<T*>(argument.handle) : nullptr;
  if (!thing) {
    const std::string got = argument.type == Argument::HANDLE ? argument.handle->what() : "none";
    refuse(std::string("the handle must be of ") + what + "; it is of " + got);
  }
  return *thing;
}

// One element, at any alignment.
template <class T>
T element(const Array& a, long i, long j = 0) {
  T value;
  std::memcpy(&value, a.data + i * a.strides[0] + j * a.strides[1], sizeof value);
  return value;
}

inline int64_t whole_number(const Array& a, long i, long j = 0) {
  return a.is("int32") ? int64_t{element<int32_t>(a, i, j)} : element<int64_t>(a, i, j);
}

}  // namespace perfuse
