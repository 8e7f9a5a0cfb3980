// The table of portable with products in tiles.
#include "vector_portable.h"
// The vectors first: what follows is written in them.
#include "tiles_emulated.h"
#include "tile_products.h"

namespace perfuse {

const Table& table_amx_emulated() {
  static const Table table = with_tile_products("amx-emulated", table_portable());
  return table;
}

}  // namespace perfuse
