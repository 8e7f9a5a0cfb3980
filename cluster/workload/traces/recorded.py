"""What a format finds in a file: rows of one shape, and notes of what it passed over."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.outside import shown
from configs.schema.trace import MOONCAKE_BLOCK_TOKENS, TraceHistory

# How much of a session's earlier turns a row's own length or text says.
#   none    all of its prompt: nothing of what came before is put in front of it
#   whole   all of its prompt, which begins with the turns before, each with its answer
#   added   what is new in it: the turns before, each with its answer, come in front of it
#   auto    whole or added, whichever fits all rows of the session
History = TraceHistory
Message = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """What a row says in words or token ids. `reply` is the recorded answer, of which only the
    length is used.
    """

    messages: tuple[Message, ...] = ()
    token_ids: tuple[int, ...] = ()
    reply: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request of a file, in the file's order.

    at_ns           its time by the file's own clock, or None
    delay_ns        from the answer of its session's turn before, or None
    input_length    tokens; None where the row has its words
    output_length   tokens; None where nobody knows
    place           (byte offset, bytes, part) of its words or token ids in the file
    """

    where: str
    at_ns: int | None
    input_length: int | None
    output_length: int | None
    delay_ns: int | None = None
    hash_ids: Sequence[int] = ()
    session: str = ""
    history: History = "none"
    place: tuple[int, int, int] | None = None


@dataclass(slots=True)
class Notes:
    """What a reader tells about a file beside its rows.

    block_tokens   what the reader was told: tokens that a hash id stands for
    skipped     rows of which a length is 0, or without words
    unknown     key -> where it stands first, of those that no format of this kind has
    unused      the same of those that the format has and a run does not need
    """

    block_tokens: int = MOONCAKE_BLOCK_TOKENS
    skipped: int = 0
    unordered: int = 0
    most_token_id: int = 0
    unknown: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)

    def keys(
        self, where: str, keys: Iterable[str], used: Sequence[str], known: Sequence[str]
    ) -> None:
        """Remember what of a row's keys nobody looks at."""
        for key in keys:
            if key in used:
                continue
            found = self.unused if key in known else self.unknown
            if key not in found and len(found) < 100:
                found[key] = where

    def lines(self, path: object) -> list[str]:
        """For people, one sentence each; nothing where all is plain."""
        said = []
        if self.skipped:
            said.append(
                f"{path}: {self.skipped} rows skipped, which ask for nothing (a length of 0)"
            )
        if self.unknown:
            named = ", ".join(f"{shown(k)} (first in {w})" for k, w in self.unknown.items())
            said.append(f"{path}: unknown, so not used: {named}")
        if self.unused:
            said.append(f"{path}: known, but not used here: {', '.join(self.unused)}")
        if self.unordered:
            said.append(
                f"{path}: {self.unordered} rows were earlier than one before: sorted by time"
            )
        return said + [f"{path}: {text} ({n} rows)" for text, n in self.others.items()]


Rows = Callable[[Path, Notes], Iterator[Recorded]]


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file.

    looks   what of it tells it from others, for people
    rows    (file, notes) -> its rows
    said    (value at a row's place, part) -> its words or ids, for kinds that have them
    """

    name: str
    looks: str
    rows: Rows
    said: Callable[[Any, int], Said] | None = None
