"""Outputs on their way to whoever reads them: one line a reader, in order, nothing twice."""

from collections.abc import Sequence

from workers.line import Line, Report
from workers.node import Node
from workers.port import Port
from workers.request import Output

Outbox = Line[Sequence[Output]]


def outbox(node: Node, port: Port, reader: str, timeout_ns: int) -> Outbox:
    """A line to `reader`; outputs that pile up behind a slow message leave together."""
    return Line(node, port, reader, "outputs", timeout_ns, _pack)


def _pack(batches: Sequence[Sequence[Output]]) -> list[Report]:
    outputs = [output for batch in batches for output in batch]
    return [
        {
            "body": {"outputs": [output.to_body() for output in outputs]},
            "tensors": {str(i): o.logits for i, o in enumerate(outputs) if o.logits is not None},
        }
    ]
