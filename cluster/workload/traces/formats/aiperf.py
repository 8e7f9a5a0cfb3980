"""AIPerf's own JSON lines; its mooncake_trace rows are Mooncake's, and may stand among them.

single_turn   {"text": ..., "timestamp": ms, "delay": ms, "output_length": n, "session_id": ...}
              rows of one session follow each other, each with all of its prompt
multi_turn    {"session_id": ..., "turns": [{"text": ..., "delay": ms}, ...]}
              each turn brings the turns before and their answers; a leading system turn is no
              request but the conversation's first message
"""

from collections.abc import Iterator
from typing import Any

from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.formats import mooncake
from cluster.workload.traces.formats.chat import recorded_words
from cluster.workload.traces.formats.json_rows import JsonRows
from cluster.workload.traces.recorded import Format, Message, Notes, Recorded, Said
from cluster.workload.traces.source import Item
from cluster.workload.traces.values import MS, Row
from configs.outside import shown

_TURN_USED = ("text", "texts", "timestamp", "delay", "role", "output_length")
_MEDIA = ("image", "images", "audio", "audios", "video", "videos", "image_uuids")
_TURN_UNUSED = ("type", "extra", "name", *_MEDIA)
USED = ("turns", "session_id", *_TURN_USED, *mooncake.USED)
UNUSED = (*_TURN_UNUSED, *mooncake.UNUSED)


def parse(row: Row, item: Item, notes: Notes) -> Iterator[Recorded]:
    if row.get("turns") is None:
        words = ("text", "texts", *_MEDIA)
        if all(row.values.get(key) is None for key in words):
            yield from mooncake.parse(row, item, notes)
        else:
            yield from _turn(row, item, notes, 0, row.name("session_id"), is_alone=True)
        return
    turns = [Row(f"{row.where}: turns[{i}]", one) for i, one in enumerate(row.objects("turns"))]
    session = row.name("session_id") or f"line-{item.offset}"
    notes.skipped += not turns
    for part, turn in enumerate(turns):
        notes.keys(turn.where, turn.values, _TURN_USED, _TURN_UNUSED)
        if not (part == 0 and len(turns) > 1 and _is_preface(turn.values)):
            yield from _turn(turn, item, notes, part, session, is_alone=False)


def _turn(
    turn: Row, item: Item, notes: Notes, part: int, session: str, *, is_alone: bool
) -> Iterator[Recorded]:
    if any(turn.get(key) for key in _MEDIA) and not _has_texts(turn):
        raise TraceError(f"{turn.where}: has no text: images, audio and video are not read")
    yield from recorded_words(
        turn, item, notes, said, turn.length_or_none("output_length"), part=part,
        at_ns=turn.time_ns("timestamp", MS), delay_ns=turn.time_ns("delay", MS),
        session=session, history="none" if is_alone else "added",
    )  # fmt: skip


def said(value: Any, part: int) -> Said:
    if value.get("turns") is None:
        if value.get("text") is None and value.get("texts") is None:
            return mooncake.said(value)
        return Said((_message(value),))
    turns, first = value["turns"], part
    # What is no request of its own stands before what is said next.
    while first and (_asks_nothing(turns[first - 1]) or (first == 1 and _is_preface(turns[0]))):
        first -= 1
    said = [turn for turn in turns[first : part + 1] if _has_words(turn)]
    return Said(tuple(_message(turn) for turn in said) if _has_words(turns[part]) else ())


def _asks_nothing(turn: Any) -> bool:
    return Row("", turn).length_or_none("output_length") == 0 or not _has_words(turn)


def _has_words(turn: Any) -> bool:
    return any(text.strip() for text in _texts(turn))


def _has_texts(turn: Row) -> bool:
    try:
        return bool(_texts(turn.values))
    except ValueError as error:
        raise TraceError(f"{turn.where}: {error}") from error


def _is_preface(turn: Any) -> bool:
    return bool(turn.get("role") == "system")


def _message(turn: Any) -> Message:
    role = turn.get("role") or "user"
    if not isinstance(role, str):
        raise ValueError("role must be a text")
    return {"role": role, "content": "\n".join(_texts(turn))}


def _texts(turn: Any) -> list[str]:
    """Its text, or its texts: plain ones, or AIPerf's named lists of them."""
    given = turn.get("texts") if turn.get("text") is None else [turn["text"]]
    if given is not None and not isinstance(given, list):
        raise ValueError(f"texts is {shown(given)}: it must be a list of texts")
    found: list[str] = []
    for one in given or []:
        contents = one.get("contents") if isinstance(one, dict) else [one]
        if not isinstance(contents, list) or not all(isinstance(text, str) for text in contents):
            raise ValueError("text must be a text, and texts a list of them")
        found += contents
    return found


FORMAT = Format(
    "aiperf", "JSON lines with text, texts or turns", JsonRows(parse, USED, UNUSED), said
)
