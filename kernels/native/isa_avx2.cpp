#include "vector_avx2.h"
// The vectors first: what follows is written in them.
#include "products_blocked.h"
#include "../attention/inner.h"
#include "rowwise.h"
#include "../mla/inner.h"

namespace perfuse {

const Table& table_avx2() {
  static const Table table = with_blocked_products(make_table("avx2"));
  return table;
}

}  // namespace perfuse
