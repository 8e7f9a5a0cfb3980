"""Words in traces: messages as OpenAI's, ShareGPT's or AIPerf's files write them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.recorded import History, Message, Notes, Recorded, Said
from cluster.workload.traces.source import Item
from cluster.workload.traces.values import Row
from configs.outside import shown

# What files call who speaks -> what a chat template calls them.
ROLES = {
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "bing": "assistant",
    "bard": "assistant", "model": "assistant",
    "system": "system", "developer": "system", "tool": "tool",
}  # fmt: skip


def messages_of(value: Any) -> tuple[Message, ...]:
    """A list of {"role", "content"}, or of ShareGPT's {"from", "value"}. Raises ValueError."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError(f"messages is {shown(value)}: it must be a list of JSON objects")
    return tuple(_message(one) for one in value)


def _message(one: dict[str, Any]) -> Message:
    speaker = one.get("role", one.get("from"))
    role = ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        right = f"one of {', '.join(ROLES)}"
        raise ValueError(f"has a message of {shown(speaker)}: it must be of {right}")
    return {"role": role, "content": _text(one.get("content", one.get("value")))}


def _text(content: Any) -> str:
    """A text, or the texts of OpenAI's list of parts."""
    if content is None:
        return ""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise ValueError(f"has a message whose text is {shown(content)}: it must be a text")
    return content


def has_words(messages: Sequence[Message]) -> bool:
    return any(m["role"] in ("user", "tool") and m["content"].strip() for m in messages)


def recorded_words(
    row: Row,
    item: Item,
    notes: Notes,
    said: Callable[[Any, int], Said],
    output_length: int | None,
    *,
    part: int = 0,
    at_ns: int | None = None,
    delay_ns: int | None = None,
    session: str = "",
    history: History = "added",
) -> Iterator[Recorded]:
    """A request made of words, or none where it says nothing. Raises TraceError with the line."""
    try:
        words = said(item.value, part)
    except ValueError as error:
        raise TraceError(f"{row.where}: {error}") from error
    if output_length == 0 or words.reply == "" or not has_words(words.messages):
        notes.skipped += 1
        return
    place = (item.offset, item.num_bytes, part)
    yield Recorded(row.where, at_ns, None, output_length, delay_ns, (), session, history, place)
