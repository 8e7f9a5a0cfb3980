// A wire as Python calls it.
#include "calls.h"

namespace perfuse::a2a {
namespace {

std::string text(const Argument& argument, const char* name) {
  if (argument.type != Argument::TEXT) refuse(std::string(name) + " must be text");
  return argument.text;
}

uint64_t token_of(const Argument& argument) {
  return uint64_t(integer(argument, "token", 0, (int64_t{1} << Wire::kTokenBits) - 1));
}

void open_wire(const Argument* a, Result&) {
  member(a[0]).open_wire(text(a[1], "library"), text(a[2], "settings"), token_of(a[3]));
}

// How long it is; the bytes, where there is room for them.
void wire_address(const Argument* a, Result& result) {
  const std::string found = member(a[0]).wire().address();
  const Array& out = output(a[1], "address", 1, "uint8", 1);
  if (out.count() >= long(found.size())) std::memcpy(out.data, found.data(), found.size());
  result.set(int64_t(found.size()));
}

void attach_far(const Argument* a, Result&) {
  Member& m = member(a[0]);
  const Array& address = array(a[4], "address", 1, {"uint8"});
  std::string bytes(size_t(address.count()), '\0');
  for (long i = 0; i < address.count(); ++i) bytes[size_t(i)] = element<char>(address, i);
  m.attach_far(rank_of(a[1], m), uint64_t(integer(a[2], "epoch", 1, kEpochMax)), token_of(a[3]),
               bytes);
}

}  // namespace

Functions wire_functions() {
  return {{"a2a_open_wire", open_wire, 4, false},
          {"a2a_wire_address", wire_address, 2, false},
          {"a2a_attach_far", attach_far, 5, false}};
}

}  // namespace perfuse::a2a
