// Calls from Python that hand over more than numbers.
#pragma once
#include "../native/arguments.h"
#include "fold.h"

namespace perfuse::fold {

inline Fold& folded(const Argument& argument) { return owned<Fold>(argument, "a folded group"); }

inline int chip_of(const Fold& group, const Argument& argument) {
  return int(integer(argument, "chip", 0, group.num_chips() - 1));
}

void add_pool(const Argument* a, Result& result);
void begin(const Argument* a, Result& result);
void begin_drawn(const Argument* a, Result& result);
void under_way(const Argument* a, Result& result);
void hold(const Argument* a, Result& result);
void lengthen(const Argument* a, Result& result);
void leave(const Argument* a, Result& result);
void come(const Argument* a, Result& result);

}  // namespace perfuse::fold
