"""Outputs on their way to whoever reads them: one line a reader, in order, nothing twice."""

from collections.abc import Sequence

from cluster.api.kinds import Outputs
from cluster.api.output import Output
from workers.node import Node
from workers.wire.line import Line
from workers.wire.port import Port

ReaderLine = Line[Sequence[Output]]


def reader_line(node: Node, port: Port, reader: str, timeout_ns: int) -> ReaderLine:
    """A line to `reader`; outputs that pile up behind a slow message leave together."""
    return Line(node, port, reader, "outputs", timeout_ns, _pack)


def _pack(batches: Sequence[Sequence[Output]]) -> list[Outputs]:
    outputs = tuple(output for batch in batches for output in batch)
    logits = {str(i): o.logits for i, o in enumerate(outputs) if o.logits is not None}
    return [Outputs(outputs, logits)]
