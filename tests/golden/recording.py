"""A run as typed records, and records as a file: a JSON list a line, compressed.

Lateness is left out (the virtual world has none), and so are joules, which follow from the rest.
"""

import json
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.runs.run import run_traced
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario
from tests.golden.scenarios import SCENARIOS
from workers.host.trace import Delivered, Noted, Ran, Record, Sampled

TRACES = Path(__file__).parent / "traces"
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """One run: a row a record in the order in which things happened, then a row an answer."""

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, name: str) -> "Recording":
        """Run a golden scenario."""
        base, changes = SCENARIOS[name]
        blueprint = Blueprint.draw(load_scenario(base, dict(changes)))
        workload = build_workload(blueprint.scenario, blueprint.model.vocab)
        run, records = run_traced(blueprint, workload)
        answers = [
            ("answer", a.request_id, a.finish_reason, (a.error or {}).get("code", ""), a.token_ids)
            for a in run.answers
        ]
        return cls(_plain([*map(_row, records), *answers]))

    @classmethod
    def read(cls, name: str) -> "Recording":
        with lzma.open(TRACES / f"{name}.jsonl.xz", "rt", encoding="utf-8") as file:
            return cls(tuple(tuple(json.loads(line)) for line in file))

    def write(self, name: str) -> None:
        lines = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in self.rows)
        TRACES.mkdir(exist_ok=True)
        (TRACES / f"{name}.jsonl.xz").write_bytes(lzma.compress(lines.encode()))


def _row(record: Record) -> Row:
    match record:
        case Delivered(at_ns, kind, source, destination, num_bytes, _, request_id):
            return ("message", at_ns, kind, source, destination, num_bytes, request_id)
        case Ran(at_ns, node, work, took_ns):
            return ("run", at_ns, work, node, took_ns)
        case Sampled(at_ns, chip, request_id, position, token_id):
            return ("token", at_ns, chip, request_id, position, token_id)
        case Noted(at_ns, what, subject, detail, request_id):
            return ("note", at_ns, what, subject, detail, request_id)


def _plain(rows: Sequence[Row]) -> tuple[Row, ...]:
    """As they come back from a file: tuples inside a row are lists there."""
    return tuple(tuple(json.loads(json.dumps(row))) for row in rows)
