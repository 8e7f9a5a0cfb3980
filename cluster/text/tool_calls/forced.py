"""Calls that a request forces: the answer's grammar lets nothing else through, in plain JSON
whatever the template, so a model that knows no tools makes them as well. What max_tokens cuts is
told as far as it says something: the call's name, and the beginning of its arguments.
"""

import re

from cluster.text.tool_calls.events import Argued, Begun, Event, Said, Tools
from cluster.text.tool_calls.json_bodies import Malformed, json_calls

# As the grammar lets it begin, once its name is whole.
_BEGINNING = re.compile(
    r'\{\s*"name"\s*:\s*"(?P<name>[^"]*)"(?:\s*,\s*"arguments"\s*:\s*(?P<arguments>.*))?', re.DOTALL
)


class NamedParser:
    """The answer is the arguments of one tool."""

    def __init__(self, name: str) -> None:
        self._name, self._has_begun = name, False

    def push(self, text: str) -> list[Event]:
        if not text:
            return []
        begun: list[Event] = [] if self._has_begun else [Begun(self._name)]
        self._has_begun = True
        return [*begun, Argued(text)]

    def finish(self) -> list[Event]:
        return []


class RequiredParser:
    """It is a list of `{"name": ..., "arguments": {...}}`: each is told when it is whole, the
    last one as it was cut.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._pieces: list[str] = []
        self._depth, self._in_string, self._escaped = 0, False, False

    def push(self, text: str) -> list[Event]:
        events: list[Event] = []
        start = 0
        for index, character in enumerate(text):
            if self._ends_with(character):
                self._pieces.append(text[start : index + 1])
                start = index + 1
                events.extend(self._take())
        self._pieces.append(text[start:])
        return events

    def finish(self) -> list[Event]:
        rest = "".join(self._pieces)
        self._pieces = []
        # Between and behind calls stand white space, commas and the list's own brackets.
        begun = _BEGINNING.match(rest.lstrip(" \t\r\n,["))
        if begun is None or begun["name"] not in self._tools:
            return []
        arguments = begun["arguments"]
        return [Begun(begun["name"]), *([Argued(arguments)] if arguments else [])]

    def _take(self) -> list[Event]:
        text, self._pieces = "".join(self._pieces), []
        try:
            calls = json_calls(text.lstrip(" \t\r\n,["), self._tools)
        except Malformed:
            return [Said(text)]
        return [event for call in calls for event in call.events()]

    def _ends_with(self, character: str) -> bool:
        """Whether an object of the list ends here."""
        if self._in_string:
            self._in_string = self._escaped or character != '"'
            self._escaped = not self._escaped and character == "\\"
            return False
        if character == '"':
            self._in_string = True
        elif character == "{":
            self._depth += 1
        elif character == "}":
            self._depth -= 1
            return self._depth == 0
        return False
