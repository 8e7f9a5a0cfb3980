"""Choices of /v1/chat/completions that may be calls."""

from collections.abc import Sequence
from typing import Any

import orjson

from cluster.api.output import Output
from cluster.gateway.chat_form import ChatForm, _logprobs
from cluster.gateway.generation import Generation
from cluster.gateway.progress import Progress
from cluster.gateway.tools.reader import Reader
from cluster.text.tool_calls.events import Argued, Begun, Event, Said, Thought


class ToolForm(ChatForm):
    """A stream's calls come when they are whole, forced ones of a named function as they are made.

    Each choice's reader follows its stream, so a form is for one generation.
    """

    def __init__(self, generation: Generation, tool_format: str) -> None:
        calling = generation.calling
        assert calling is not None
        self._readers = [
            Reader(calling, f"{generation.response_id}-{index}", tool_format)
            for index in range(len(generation.requests))
        ]

    def delta(self, index: int, output: Output, progress: Progress, first: bool) -> bytes:
        """Nothing where all of an output is held back."""
        reader = self._readers[index]
        before = reader.num_calls
        events = reader.push(output.text, bool(output.finish_reason))
        if not (events or output.logprobs or output.finish_reason or output.approximate):
            return b""
        delta: dict[str, Any] = {"role": "assistant", "content": None} if first else {}
        if said := _joined(events, Said):
            delta["content"] = said
        if thought := _joined(events, Thought):
            delta["reasoning_content"] = thought
        if calls := _pieces(events, before):
            delta["tool_calls"] = calls
        elif first and not thought and not reader.is_forced:
            delta["content"] = said
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": _logprobs(output.logprobs) if output.logprobs else None,
            "finish_reason": _reason(output.finish_reason, reader) or None,
        }
        return orjson.dumps(choice)[:-1]

    def choice(self, index: int, progress: Progress, logprobs: int | None) -> dict[str, Any]:
        choice = super().choice(index, progress, logprobs)
        reader, message = self._readers[index], choice["message"]
        events = reader.push(progress.text, True)
        calls = whole_calls(events)
        message["content"] = _joined(events, Said) or (None if calls or reader.is_forced else "")
        if thought := _joined(events, Thought):
            message["reasoning_content"] = thought
        if calls:
            message["tool_calls"] = calls
        choice["finish_reason"] = _reason(progress.finish_reason, reader)
        return choice


def whole_calls(events: Sequence[Event]) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    for event in events:
        if isinstance(event, Begun):
            calls.append(_call(event))
        elif isinstance(event, Argued):
            calls[-1]["function"]["arguments"] += event.text
    return calls


def _call(begun: Begun) -> dict[str, Any]:
    function = {"name": begun.name, "arguments": ""}
    return {"id": begun.call_id, "type": "function", "function": function}


def _pieces(events: Sequence[Event], num_before: int) -> list[dict[str, Any]]:
    """Id and name once a call; then its arguments, by the call's index."""
    pieces: list[dict[str, Any]] = []
    index = num_before - 1
    for event in events:
        if isinstance(event, Begun):
            index += 1
            pieces.append({"index": index, **_call(event)})
        elif isinstance(event, Argued):
            if not pieces or pieces[-1]["index"] != index:
                pieces.append({"index": index, "function": {"arguments": ""}})
            pieces[-1]["function"]["arguments"] += event.text
    return pieces


def _joined(events: Sequence[Event], kind: type[Said] | type[Thought]) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))


def _reason(reason: str, reader: Reader) -> str:
    """An answer that was cut is told as such, whatever it has called."""
    return "tool_calls" if reason == "stop" and reader.num_calls else reason
