"""Small traces, written and read again: what the tests of formats start from."""

import json
from pathlib import Path
from typing import Any

from cluster.workload.traces import Trace, read_trace

MS, S = 1_000_000, 1_000_000_000

AZURE_2024 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2024-05-10 00:00:00.009930+00:00,2162,5\n"
    "2024-05-10 00:00:00.017335+00:00,2399,6\n"
    "2024-05-10 00:00:00.018000+00:00,76,15\n"
)
BURST = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
)


def read(folder: Path, text: str | bytes, kind: str | None = None, **options: Any) -> Trace:
    path = folder / "trace"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_trace(kind, path, **options)


def rows(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def lengths(trace: Trace) -> list[tuple[int, int | None, int | None]]:
    return [(e.at_ns, e.input_length, e.output_length) for e in trace]


def questions(trace: Trace) -> list[list[tuple[str, str]]]:
    """(role, content) of each request's own words."""
    said = [trace.said(i) for i in range(len(trace))]
    return [[(m["role"], m["content"]) for m in one.messages] for one in said if one is not None]
