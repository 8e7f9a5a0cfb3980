#include "vector_avx2.h"
// The vectors first: what follows is written in them.
#include "products.h"
#include "../attention/inner.h"
#include "rowwise.h"
#include "../mla/inner.h"

namespace perfuse {

const Table& table_avx2() {
  static const Table table = make_table("avx2");
  return table;
}

}  // namespace perfuse
