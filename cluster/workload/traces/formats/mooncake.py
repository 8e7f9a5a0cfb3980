"""Mooncake's traces, and what AIPerf and Dynamo added to them: sessions, delays, texts.

    {"timestamp": ms, "input_length": n, "output_length": n, "hash_ids": [...]}

One id for each block of 512 tokens of the prompt; two requests share a prefix as far as their ids
agree. With `session_id` and `delay` (ms; Dynamo: `delay_ms`) a row is a turn that leaves so long
after the answer of the session's turn before. In place of lengths AIPerf takes words: `text_input`,
or `messages` that are the whole conversation (`message_mode: delta`: the new ones).
"""

from collections.abc import Iterator
from typing import Any

from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.formats.chat import messages_of, recorded_words
from cluster.workload.traces.formats.json_rows import JsonRows
from cluster.workload.traces.recorded import Format, History, Notes, Recorded, Said
from cluster.workload.traces.source import Item
from cluster.workload.traces.values import MS, Row, wrong

HASH_ID_MAX = (1 << 64) - 1
WORDS = ("text_input", "messages")

USED = (
    "timestamp", "input_length", "output_length", "hash_ids", "session_id", "delay", "delay_ms",
    "message_mode", *WORDS,
)  # fmt: skip
UNUSED = ("type", "priority", "tools", "extra", "context_mode", "request_id")


def parse(row: Row, item: Item, notes: Notes) -> Iterator[Recorded]:
    at_ns, delay_ns = row.time_ns("timestamp", MS), _delay_ns(row)
    session = row.name("session_id")
    if "payload" in row.values:
        raise TraceError(
            f"{row.where}: payload is a request of another server's: give messages, text_input or "
            "input_length"
        )
    given = [key for key in ("input_length", *WORDS) if row.get(key) is not None]
    if not given and row.values.get("text_input") is not None:
        given = ["text_input"]  # an empty one, which asks for nothing
    if len(given) > 1:
        raise TraceError(f"{row.where}: has {' and '.join(given)}: only one can be the prompt")
    if given and given[0] != "input_length":
        yield from recorded_words(
            row, item, notes, said, row.length_or_none("output_length"),
            at_ns=at_ns, delay_ns=delay_ns, session=session, history=_words_history(row),
        )  # fmt: skip
        return
    num_input, num_output = row.length("input_length"), row.length("output_length")
    hash_ids = row.integers("hash_ids", HASH_ID_MAX)
    if not num_input or not num_output:
        notes.skipped += 1
        return
    block_tokens = notes.block_tokens
    blocks = -(-num_input // block_tokens)
    if hash_ids and len(hash_ids) != blocks:
        raise TraceError(
            f"{row.where}: hash_ids is {len(hash_ids)} ids: it must be {blocks}, one for each "
            f"{block_tokens} of {num_input} tokens; name block_tokens if it is not {block_tokens}"
        )
    yield Recorded(row.where, at_ns, num_input, num_output, delay_ns, hash_ids, session, "auto")


def said(value: Any, _: int = 0) -> Said:
    """The words of a row that has some."""
    if value.get("text_input") is not None:
        return Said(({"role": "user", "content": str(value["text_input"])},))
    return Said(messages_of(value["messages"]))


def _delay_ns(row: Row) -> int | None:
    delay_ns = row.time_ns("delay", MS)
    return row.time_ns("delay_ms", MS) if delay_ns is None else delay_ns


def _words_history(row: Row) -> History:
    mode = row.get("message_mode")
    if mode not in (None, "history", "delta"):
        wrong(row.where, "message_mode", mode, "history or delta")
    if row.get("messages") is not None and mode != "delta":
        return "none"
    return "added"


FORMAT = Format(
    "mooncake",
    "JSON lines with input_length, output_length",
    JsonRows(parse, USED, UNUSED),
    said,
)
