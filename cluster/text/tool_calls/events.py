"""What parsers find in a stream of text, in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

# The tools that were offered: name -> JSON schema of its arguments.
Tools = Mapping[str, Mapping[str, Any]]

# Characters that a parser holds back for a call that is not complete: what goes on is text.
HELD_MAX = 1 << 18


@dataclass(frozen=True, slots=True)
class Said:
    """Text for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """Text that leads to an answer, in formats that tell it apart."""

    text: str


@dataclass(frozen=True, slots=True)
class Begun:
    """A call begins: what `Argued` says from here on are its arguments.

    call_id   as the model wrote it, or ""
    """

    name: str
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Argued:
    """A piece of the arguments' JSON."""

    text: str


Event = Said | Thought | Begun | Argued


@dataclass(frozen=True, slots=True)
class Call:
    """A whole call; `arguments` is the JSON of an object."""

    name: str
    arguments: str
    call_id: str = ""

    def events(self) -> Sequence[Event]:
        return Begun(self.name, self.call_id), Argued(self.arguments)


class Parser(Protocol):
    """Follows one answer."""

    def push(self, text: str) -> list[Event]:
        """What is certain now."""
        ...

    def finish(self) -> list[Event]:
        """The rest; the answer is over."""
        ...
