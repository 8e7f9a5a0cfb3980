// The table of avx512_bf16 with products in tiles.
#include "vector_avx512.h"
// The vectors first: what follows is written in them.
#include "tiles_amx.h"
#include "tile_products.h"

namespace perfuse {

const Table& table_amx() {
  static const Table table = with_tile_products("amx", table_avx512_bf16());
  return table;
}

}  // namespace perfuse
