#include "vector_avx512.h"
// The vectors first: what follows is written in them.
#include "products.h"
#include "../attention/inner.h"
#include "rowwise.h"
#include "../mla/inner.h"

namespace perfuse {

const Table& table_avx512() {
  static const Table table = make_table("avx512");
  return table;
}

}  // namespace perfuse
