#include "layout.h"

#include "../codec/packed_row.h"

namespace perfuse::a2a {
namespace {

constexpr long kLine = 64;
constexpr long kPage = 4096;

long lines(long bytes) { return (bytes + kLine - 1) / kLine * kLine; }
long pages(long bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

long row_bytes(RowFormat format, long hidden) {
  switch (format) {
    case RowFormat::BF16: return lines(hidden * 2);
    case RowFormat::INT8: return packed_row_bytes(hidden);
    case RowFormat::FP64: return lines(hidden * 8);
    default: return lines(hidden * 4);
  }
}

Layout::Layout(const Geometry& g)
    : send_row_bytes(row_bytes(g.send, g.hidden)),
      back_row_bytes(row_bytes(g.back, g.hidden)),
      requests_at(sizeof(WorkControl)),
      positions_at(requests_at + lines(g.capacity * 8)),
      experts_at(positions_at + lines(g.capacity * 8)),
      weights_at(experts_at + lines(g.capacity * g.each * 4)),
      rows_at(weights_at + lines(g.capacity * g.each * 4)),
      work_bytes(rows_at + g.capacity * send_row_bytes),
      answer_rows_at(sizeof(AnswerControl)),
      answer_bytes(answer_rows_at + g.capacity * back_row_bytes),
      work_begin(kHeaderBytes),
      answers_begin(work_begin + 2 * g.world * work_bytes),
      arena_bytes(pages(answers_begin + 2 * g.world * answer_bytes)),
      world(g.world) {}

}  // namespace perfuse::a2a
