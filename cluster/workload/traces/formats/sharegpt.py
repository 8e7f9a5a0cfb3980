"""Conversations, as ShareGPT's files have them: an array, or JSON lines, of

    {"id": ..., "conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]}

and as OpenAI's do, with `messages` of {"role", "content"}. Each turn of a user's is a request: it
brings the conversation so far with the answers that were really given, and gets an answer as long
as the recorded one. No times are recorded.
"""

from collections.abc import Iterator
from typing import Any

from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.formats.chat import messages_of, recorded_words
from cluster.workload.traces.formats.json_rows import JsonRows
from cluster.workload.traces.recorded import Format, Message, Notes, Recorded, Said
from cluster.workload.traces.source import Item
from cluster.workload.traces.values import Row

KEYS = ("conversations", "conversation", "messages", "items")
USED = ("id", *KEYS)
UNUSED = ("source", "model", "lang", "system", "category")

LEADING = "answers before a conversation's first question are left out"
_Turn = tuple[list[Message], str | None]


def parse(row: Row, item: Item, notes: Notes) -> Iterator[Recorded]:
    try:
        messages = messages_of(_list(item.value))
        turns = _turns(messages)
    except ValueError as error:
        raise TraceError(f"{row.where}: {error}") from error
    if messages and messages[0]["role"] == "assistant":
        notes.others[LEADING] += 1
    if not turns:
        notes.skipped += 1
    for part in range(len(turns)):
        # By its place, not its id: files repeat ids.
        session = f"conversation-{item.offset}"
        yield from recorded_words(row, item, notes, said, None, part=part, session=session)


def said(value: Any, part: int) -> Said:
    """What is new in turn number `part`, and the answer to it."""
    new, reply = _turns(messages_of(_list(value)))[part]
    return Said(tuple(new), reply=reply)


def _list(value: Any) -> Any:
    key = next((key for key in KEYS if key in value), KEYS[0])
    return value.get(key)


def _turns(messages: tuple[Message, ...]) -> list[_Turn]:
    """What is said before each answer, and the answer; the last one may be missing."""
    turns: list[_Turn] = []
    new: list[Message] = []
    for message in messages:
        if message["role"] != "assistant":
            new.append(message)
        elif new:
            turns.append((new, message["content"]))
            new = []
    return [*turns, (new, None)] if any(m["role"] == "user" for m in new) else turns


FORMAT = Format(
    "sharegpt",
    "JSON objects with conversations (or messages that end with an answer)",
    JsonRows(parse, USED, UNUSED),
    said,
)
