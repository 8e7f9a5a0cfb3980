"""Conversations, as ShareGPT's files have them: an array, or JSON lines, of

    {"id": ..., "conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]}

and as OpenAI's do, with `messages` of {"role", "content"}. Each turn of a user's is a request: it
brings the conversation so far with the answers that were really given, and gets an answer as long
as the recorded one. What was never answered comes with the next turn. No times are recorded.
"""

from collections.abc import Iterator
from typing import Any

from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.formats.chat import has_words, messages_of, recorded_words
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
        turns, num_skipped = _turns(messages)
    except ValueError as error:
        raise TraceError(f"{row.where}: {error}") from error
    if next((m["role"] for m in messages if m["role"] != "system"), "") == "assistant":
        notes.others[LEADING] += 1
    notes.skipped += num_skipped or not turns
    for part in range(len(turns)):
        # By its place, not its id: files repeat ids.
        session = f"conversation-{item.offset}"
        yield from recorded_words(row, item, notes, said, None, part=part, session=session)


def said(value: Any, part: int) -> Said:
    """What is new in turn number `part`, and the answer to it."""
    new, reply = _turns(messages_of(_list(value)))[0][part]
    return Said(tuple(new), reply=reply)


def _list(value: Any) -> Any:
    key = next((key for key in KEYS if key in value), KEYS[0])
    return value.get(key)


def _turns(messages: tuple[Message, ...]) -> tuple[list[_Turn], int]:
    """What is said before each answer, and the answer, the last one may be missing; and how many
    turns ask for nothing. What has no answer (a system's words before a greeting, a question to
    which nothing was said) stands before what is said next.
    """
    turns: list[_Turn] = []
    new: list[Message] = []
    is_asked, num_skipped = False, 0
    for message in messages:
        if message["role"] != "assistant":
            new.append(message)
            is_asked = is_asked or message["role"] == "user"
        elif has_words(new) and message["content"]:
            turns.append((new, message["content"]))
            new, is_asked = [], False
        else:
            num_skipped += is_asked
            new, is_asked = [m for m in new if m["content"].strip()], False
    if is_asked and has_words(new):
        turns.append((new, None))
    else:
        num_skipped += is_asked
    return turns, num_skipped


FORMAT = Format(
    "sharegpt",
    "JSON objects with conversations (or messages that end with an answer)",
    JsonRows(parse, USED, UNUSED),
    said,
)
