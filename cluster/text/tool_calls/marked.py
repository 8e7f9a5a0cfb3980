"""Calls between marks, with text around them.

    text  <begin> body <end>  text       a body is held back until it is whole, and read then
    <begin> body                         where there is no end mark, until the next or the end
    {"name": ...                         an answer that begins like JSON, where calls have no marks

White space before a call belongs to the format, as do marks around a group of calls.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.text.tool_calls.events import HELD_MAX, Call, Event, Said, Tools
from cluster.text.tool_calls.json_bodies import Malformed, Unfinished
from cluster.text.tool_calls.overlap import held_back

# Each is a try to read all that stands before it.
ENDS_MAX = 16
# White space that may belong to a call that follows, in characters: more of it is text.
SPACE_MAX = 1024

Read = Callable[[str, Tools], list[Call]]


@dataclass(frozen=True, slots=True)
class Marks:
    """begin, end   around a call; no begin: calls stand bare; no end: up to the next begin
    around       marks that say nothing: left out where they stand
    is_bare      an answer whose first character opens JSON is a call as well
    """

    begin: str
    end: str = ""
    around: Sequence[str] = ()
    is_bare: bool = False


class MarkedParser:
    def __init__(self, marks: Marks, read: Read, tools: Tools) -> None:
        self._marks, self._read, self._tools = marks, read, tools
        self._openers = [mark for mark in (marks.begin, *marks.around) if mark]
        self._outside = ""  # text that may be white space before a call, or the start of a mark
        self._body: list[str] | None = None  # pieces of a call that is not whole
        self._dropped = ""  # marks and white space since the last text or call
        self._num_ends = 0  # end marks that stood in its strings
        self._tail, self._size = "", 0  # of the body: its last characters, and its length
        self._has_begun = False  # other than by white space
        self._has_called = False

    def push(self, text: str) -> list[Event]:
        events: list[Event] = []
        while text:
            if self._body is None:
                text = self._push_outside(text, events)
            else:
                text = self._push_inside(text, events)
        return events

    def finish(self) -> list[Event]:
        events: list[Event] = []
        if self._body is not None:
            self._close("".join(self._body), "", events)
        if self._dropped and not self._has_called:
            self._say(self._dropped, events)
        self._say(self._outside, events)
        self._outside = ""
        return events

    # -- outside of calls --------------------------------------------------------------------------

    def _push_outside(self, text: str, events: list[Event]) -> str:
        """Returns what is left to read."""
        text = self._outside + text
        self._outside = ""
        start = text.lstrip()
        if self._marks.is_bare and not self._has_begun and start.startswith("{"):
            self._open()
            return start
        found = [(at, mark) for mark in self._openers if (at := text.find(mark)) >= 0]
        if found:
            at, mark = min(found)
            before, rest = text[:at], text[at + len(mark) :]
            self._say(before.rstrip(), events)
            self._dropped += before[len(before.rstrip()) :] + mark
            if mark == self._marks.begin:
                self._open()
            return rest
        keep = len(text) - held_back(text, self._openers)
        keep = len(text[:keep].rstrip())
        self._say(text[:keep], events)
        self._outside = text[keep:]
        if len(self._outside) > SPACE_MAX:
            self._say(self._outside, events)
            self._outside = ""
        return ""

    def _open(self) -> None:
        self._body, self._tail, self._size, self._num_ends = [], "", 0, 0
        self._has_begun = True

    def _say(self, text: str, events: list[Event]) -> None:
        if self._has_called and not text.strip():
            return  # between calls, and behind the last
        if text:
            self._has_begun = self._has_begun or bool(text.strip())
            events.append(Said(text))

    # -- inside ------------------------------------------------------------------------------------

    def _push_inside(self, text: str, events: list[Event]) -> str:
        """Returns what is left to read. Each character is looked at once."""
        assert self._body is not None
        end = self._marks.end or self._marks.begin
        window = self._tail + text
        at = window.find(end) if end else -1
        if at < 0:
            self._body.append(text)
            self._size += len(text)
            self._tail = window[-(len(end) - 1) :] if len(end) > 1 else ""
            if self._size > HELD_MAX:
                self._give_back("".join(self._body), "", events)
            return ""
        rest = window[at + len(end) :]
        whole = "".join(self._body) + text
        body = whole[: len(whole) - len(rest) - len(end)]
        if self._marks.end:
            return rest if self._close(body, end, events) else self._go_on(body + end, rest)
        self._close(body, "", events)
        return end + rest

    def _go_on(self, body: str, rest: str) -> str:
        """The end mark stood in a string."""
        self._body, self._size, self._tail = [body], len(body), ""
        self._num_ends += 1
        return rest

    def _close(self, body: str, end: str, events: list[Event]) -> bool:
        """False if this was not the end."""
        try:
            calls = self._read(body, self._tools)
        except Unfinished:
            if end and self._num_ends < ENDS_MAX and self._size <= HELD_MAX:
                return False
            self._give_back(body, end, events)
        except Malformed:
            self._give_back(body, end, events)
        else:
            self._body, self._has_called, self._dropped = None, True, ""
            for call in calls:
                events.extend(call.events())
        return True

    def _give_back(self, body: str, end: str, events: list[Event]) -> None:
        """It is no call: text, as the model wrote it."""
        text, self._body, self._dropped = self._dropped + body + end, None, ""
        self._say(text, events)
