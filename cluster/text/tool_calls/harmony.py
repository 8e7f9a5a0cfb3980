"""gpt-oss: an answer is a row of messages, each with a channel, and a recipient where it is a call.

<|channel|>analysis<|message|>...<|end|><|start|>assistant
<|channel|>commentary to=functions.name <|constrain|>json<|message|>{...}<|call|>
"""

import re

from cluster.text.tool_calls.events import HELD_MAX, Event, Said, Thought, Tools
from cluster.text.tool_calls.json_bodies import Malformed, named_call
from cluster.text.tool_calls.overlap import held_back

MARKS = (
    "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|call|>", "<|return|>",
)  # fmt: skip
_MESSAGE = "<|message|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>", "<|start|>")
_MARK_CHARS = max(map(len, _ENDS)) - 1
_HEADER_MAX = 512
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"\bto=(?:functions\.)?([\w.\-]+)")
# How an answer goes on after "<|start|>assistant", which the prompt ends with.
_BEGINNINGS = ("<|channel|>", "<|start|>", "<|message|>", "to=")


class HarmonyParser:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._header: str | None = ""  # of a message that has not begun; None inside one
        self._body = ""  # of a call; else what may begin a mark
        self._channel, self._recipient = "final", ""
        self._raw = ""  # a call's header, in case it is none

    def push(self, text: str) -> list[Event]:
        events: list[Event] = []
        while text:
            go_on = self._in if self._header is None else self._in_header
            text = go_on(text, events)
        return events

    def finish(self) -> list[Event]:
        events: list[Event] = []
        if self._header is not None:
            said = self._header.removeprefix("<|start|>").removeprefix("assistant")
            if said.strip():
                events.append(Said(self._header))
        else:
            self._end(self._body, "", events)
        self._header, self._body = "", ""
        return events

    def _in_header(self, text: str, events: list[Event]) -> str:
        """Returns what is left to read."""
        assert self._header is not None
        header = self._header + text
        head, found, rest = header.partition(_MESSAGE)
        if not found:
            head = header[: len(header) - held_back(header, (_MESSAGE,))]
        if len(head) <= _HEADER_MAX and _may_be_header(head):
            if not found:
                self._header = header
                return ""
            channel, recipient = _CHANNEL.search(head), _RECIPIENT.search(head)
            self._channel = channel[1] if channel else "final"
            self._recipient = recipient[1] if recipient else ""
            self._header, self._body, self._raw = None, "", head + found
            return rest
        # No header: the model writes as it likes.
        self._header, self._channel, self._recipient = None, "final", ""
        start = "<|start|>" if header.startswith("<|start|>") else ""
        self._tell(start, events)
        return header[len(start) :]

    def _in(self, text: str, events: list[Event]) -> str:
        start = max(0, len(self._body) - _MARK_CHARS)  # before it no mark ends
        text = self._body + text
        found = [(at, mark) for mark in _ENDS if (at := text.find(mark, start)) >= 0]
        keep = min(found)[0] if found else len(text) - held_back(text, _ENDS)
        if self._recipient and keep > HELD_MAX:
            events.append(Said(self._raw + text[: HELD_MAX + 1]))
            self._recipient, self._body = "", ""
            return text[HELD_MAX + 1 :]
        if found:
            at, mark = min(found)
            self._end(text[:at], mark, events)
            self._header, self._body = (mark if mark == "<|start|>" else ""), ""
            return text[at + len(mark) :]
        if self._recipient:
            self._body = text
            return ""
        self._tell(text[:keep], events)
        self._body = text[keep:]
        return ""

    def _end(self, body: str, mark: str, events: list[Event]) -> None:
        if not self._recipient:
            self._tell(body, events)
            return
        try:
            events.extend(named_call(self._recipient, body, self._tools).events())
        except Malformed:
            events.append(Said(self._raw + body + mark))

    def _tell(self, text: str, events: list[Event]) -> None:
        if text:
            events.append(Thought(text) if self._channel == "analysis" else Said(text))


def _may_be_header(header: str) -> bool:
    start = header.lstrip().removeprefix("<|start|>")
    if "assistant".startswith(start):
        return True
    start = start.removeprefix("assistant").lstrip()
    return any(start.startswith(b) or b.startswith(start) for b in _BEGINNINGS)
