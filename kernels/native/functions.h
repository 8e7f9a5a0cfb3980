// All native functions, by op. An op's own file defines its list.
#pragma once
#include <vector>

#include "arguments.h"

namespace perfuse {

using Functions = std::vector<Function>;
Functions all_to_all_functions();
Functions attention_functions();
Functions bandwidth_functions();
Functions codec_functions();
Functions decoder_functions();
Functions exchange_functions();
Functions fold_functions();
Functions linear_functions();
Functions mla_functions();
Functions moe_functions();
Functions paged_functions();
Functions paths_functions();
Functions ring_functions();
Functions sampling_functions();
Functions scan_functions();

const Functions& functions();

}  // namespace perfuse
