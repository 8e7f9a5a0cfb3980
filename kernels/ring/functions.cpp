// The rings as Python calls them: every argument is checked here.
#include "../native/functions.h"
#include "ring.h"

namespace perfuse {
namespace {

using ring::Ring;

constexpr int64_t kRingBytesMin = 4096, kRingBytesMax = int64_t{1} << 30;
constexpr int64_t kRecordBytesMax = int64_t{1} << 40;

Ring& ring_of(const Argument& argument) { return owned<Ring>(argument, "ring"); }

int file_of(const Argument& argument, const char* name) {
  return int(integer(argument, name, 0, INT32_MAX));
}

void create(const Argument* a, Result& result) {
  const int file = file_of(a[0], "file");
  const long bytes = long(integer(a[1], "ring_bytes", kRingBytesMin, kRingBytesMax));
  if (bytes & (bytes - 1)) {
    refuse("ring_bytes is " + std::to_string(bytes) + "; it must be a power of two");
  }
  const int side = int(integer(a[2], "side", 0, 1));
  const long most = long(integer(a[5], "record_bytes_max", 1, kRecordBytesMax));
  result.give(new Ring(file, bytes, side, file_of(a[3], "own_bell"), file_of(a[4], "other_bell"),
                       most));
}

void write(const Argument* a, Result& result) {
  Ring& r = ring_of(a[0]);
  const Array& bytes = array(a[1], "bytes", 1, {"uint8"});
  if (!bytes.rows_are_whole(1)) refuse("bytes must be contiguous");
  const long at = long(integer(a[2], "at", 0, bytes.shape[0]));
  const long total = long(integer(a[3], "total", 1, kRecordBytesMax));
  result.set(r.write(bytes.data + at, bytes.shape[0] - at, total));
}

void next(const Argument* a, Result& result) { result.set(ring_of(a[0]).next()); }

void read(const Argument* a, Result& result) {
  Ring& r = ring_of(a[0]);
  const Array& to = output(a[1], "to", 1, "uint8", 1);
  const long at = long(integer(a[2], "at", 0, to.shape[0]));
  if (to.shape[0] - at < r.left()) {
    refuse("to has room for " + std::to_string(to.shape[0] - at) + " bytes; " +
           std::to_string(r.left()) + " are left of the record");
  }
  result.set(r.read(to.data + at));
}

void awake(const Argument* a, Result&) { ring_of(a[0]).awake(); }

void close(const Argument* a, Result&) { ring_of(a[0]).close(); }

}  // namespace

// All keep Python's lock: what they copy is bounded by the ring, and a thread that computes in
// Python would give it back half a millisecond later.
Functions ring_functions() {
  return {{"ring_create", create, 6, true}, {"ring_write", write, 4, true},
          {"ring_next", next, 1, true},     {"ring_read", read, 3, true},
          {"ring_awake", awake, 1, true},   {"ring_close", close, 1, true}};
}

}  // namespace perfuse
