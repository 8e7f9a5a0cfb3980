"""LLMServingSim's workloads, JSON lines.

    {"input_toks": n, "output_toks": n, "arrival_time_ns": ns, "input_tok_ids": [...]}
    {"session_id": ..., "arrival_time_ns": ns, "sub_requests": [{..., "tool_duration_ns": ns}]}

A sub-request leaves when the one before is answered and its tool has run so long. Token ids, where
there are some, are the prompt, whole. What its benchmark records has `arrival_time` in seconds.
"""

from collections.abc import Iterator
from typing import Any

from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.formats.json_rows import JsonRows
from cluster.workload.traces.recorded import Format, History, Notes, Recorded, Said
from cluster.workload.traces.source import Item
from cluster.workload.traces.values import Row, S

TOKEN_ID_MAX = 2**31 - 1
USED = (
    "input_toks", "output_toks", "arrival_time_ns", "arrival_time", "input_tok_ids", "session_id",
    "sub_requests",
)  # fmt: skip
UNUSED = (
    "output_tok_ids", "request_id", "queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts",
)  # fmt: skip
_SUB_USED = ("input_toks", "output_toks", "input_tok_ids", "tool_duration_ns")


def parse(row: Row, item: Item, notes: Notes) -> Iterator[Recorded]:
    at_ns = row.time_ns("arrival_time_ns", 1)
    at_ns = row.time_ns("arrival_time", S) if at_ns is None else at_ns
    if row.get("sub_requests") is None:
        yield from _one(row, item, notes, 0, at_ns, row.name("session_id"))
        return
    session, delay_ns = row.name("session_id") or f"line-{item.offset}", 0
    subs = row.objects("sub_requests")
    notes.skipped += not subs
    for part, values in enumerate(subs):
        sub = Row(f"{row.where}: sub_requests[{part}]", values)
        notes.keys(sub.where, values, _SUB_USED, UNUSED)
        if part:
            yield from _one(sub, item, notes, part, None, session, delay_ns)
        else:
            yield from _one(sub, item, notes, part, at_ns, session)
        delay_ns = sub.time_ns("tool_duration_ns", 1) or 0


def _one(
    row: Row, item: Item, notes: Notes, part: int, at_ns: int | None, session: str,
    delay_ns: int | None = None,
) -> Iterator[Recorded]:  # fmt: skip
    num_input, num_output = row.length("input_toks"), row.length("output_toks")
    ids = row.integers("input_tok_ids", TOKEN_ID_MAX)
    if ids and len(ids) != num_input:
        raise TraceError(
            f"{row.where}: input_tok_ids is {len(ids)} ids: it must be {num_input}, as input_toks"
        )
    if not num_input or not num_output:
        notes.skipped += 1
        return
    notes.most_token_id = max(notes.most_token_id, *ids) if ids else notes.most_token_id
    place = (item.offset, item.num_bytes, part) if ids else None
    history: History = "none" if ids else "whole"
    yield Recorded(row.where, at_ns, num_input, num_output, delay_ns, (), session, history, place)


def said(value: Any, part: int) -> Said:
    source = value["sub_requests"][part] if "sub_requests" in value else value
    return Said(token_ids=tuple(int(token) for token in source["input_tok_ids"]))


FORMAT = Format(
    "llmservingsim",
    "JSON lines with input_toks, output_toks or sub_requests",
    JsonRows(parse, USED, UNUSED),
    said,
)
