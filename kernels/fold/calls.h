// Calls from Python that hand over more than numbers.
#pragma once
#include "../native/arguments.h"

namespace perfuse::fold {

void add_pool(const Argument* a, Result& result);
void begin(const Argument* a, Result& result);
void begin_drawn(const Argument* a, Result& result);
void under_way(const Argument* a, Result& result);
void hold(const Argument* a, Result& result);
void lengthen(const Argument* a, Result& result);
void leave(const Argument* a, Result& result);
void come(const Argument* a, Result& result);

}  // namespace perfuse::fold
