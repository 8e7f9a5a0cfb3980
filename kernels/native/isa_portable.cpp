#include "vector_portable.h"
// The vectors first: what follows is written in them.
#include "products.h"
#include "../attention/inner.h"
#include "rowwise.h"
#include "../mla/inner.h"

namespace perfuse {

const Table& table_portable() {
  static const Table table = make_table("portable");
  return table;
}

}  // namespace perfuse
