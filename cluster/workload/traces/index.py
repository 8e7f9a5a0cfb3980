"""A trace as columns of numbers: some 60 bytes a row, whatever it asks for, sorted by time.

Words and token ids stay in the file and are read again when a request arrives.
"""

from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.workload.lazy import Lazy
from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.formats.known import FORMATS
from cluster.workload.traces.recorded import History, Recorded, Said
from cluster.workload.traces.source import reread

HISTORIES: tuple[History, ...] = ("none", "whole", "added", "auto")
UNKNOWN = -1  # in a column: no time, no delay, no length, no place, nobody before


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One recorded request. `at_ns` counts from the trace's first; `hash_ids` is empty where the
    trace records no prefixes, `session` where it records no sessions.

    input_length    None: its words or token ids are in the file    output_length   None: unknown
    delay_ns   from the answer of the row before in its session; None: it comes at its time, and
               no sooner than that answer
    history    see `recorded.History`; never "auto"
    turn       how many rows of its session came before
    """

    at_ns: int
    input_length: int | None
    output_length: int | None
    hash_ids: tuple[int, ...] = ()
    session: str = ""
    delay_ns: int | None = None
    history: History = "none"
    turn: int = 0


def _ints(typecode: str) -> "array[int]":
    return array(typecode)


@dataclass(slots=True)
class Columns:
    """Rows in the order in which they were read; `add` appends one."""

    at_ns: "array[int]" = field(default_factory=lambda: _ints("q"))
    delay_ns: "array[int]" = field(default_factory=lambda: _ints("q"))
    input_length: "array[int]" = field(default_factory=lambda: _ints("i"))
    output_length: "array[int]" = field(default_factory=lambda: _ints("i"))
    session: "array[int]" = field(default_factory=lambda: _ints("i"))
    history: "array[int]" = field(default_factory=lambda: _ints("b"))
    offset: "array[int]" = field(default_factory=lambda: _ints("q"))
    num_bytes: "array[int]" = field(default_factory=lambda: _ints("i"))
    part: "array[int]" = field(default_factory=lambda: _ints("i"))
    hash_ids: "array[int]" = field(default_factory=lambda: _ints("Q"))
    hash_ends: "array[int]" = field(default_factory=lambda: _ints("q"))
    names: dict[str, int] = field(default_factory=dict)
    untimed: str = ""  # where the first row stands that has no time and follows none

    def __len__(self) -> int:
        return len(self.at_ns)

    def add(self, row: Recorded) -> None:
        self.at_ns.append(UNKNOWN if row.at_ns is None else row.at_ns)
        self.delay_ns.append(UNKNOWN if row.delay_ns is None else row.delay_ns)
        self.input_length.append(UNKNOWN if row.input_length is None else row.input_length)
        self.output_length.append(UNKNOWN if row.output_length is None else row.output_length)
        if row.at_ns is None and row.session not in self.names and not self.untimed:
            self.untimed = row.where
        number = self.names.setdefault(row.session, len(self.names)) if row.session else UNKNOWN
        self.session.append(number)
        self.history.append(HISTORIES.index(row.history))
        offset, num_bytes, part = row.place or (UNKNOWN, 0, 0)
        self.offset.append(offset)
        self.num_bytes.append(num_bytes)
        self.part.append(part)
        self.hash_ids.extend(row.hash_ids)
        self.hash_ends.append(len(self.hash_ids))

    def blocks(self, row: int) -> "array[int]":
        """A row's hash_ids."""
        begin = self.hash_ends[row - 1] if row else 0
        return self.hash_ids[begin : self.hash_ends[row]]


class Trace(Lazy[TraceEntry]):
    """Its requests in the order in which they come. Made by `read_trace`.

    next_turn   row -> the row that follows it in its session, or UNKNOWN
    has_times   whether the file says when
    notes       what was passed over, a sentence each
    num_skipped    rows that ask for nothing
    most_token_id  the largest of the token ids that the file has
    """

    def __init__(
        self,
        kind: str,
        path: Path,
        columns: Columns,
        order: NDArray[np.int64],
        at_ns: NDArray[np.int64],
        history: NDArray[np.int8],
        next_turn: NDArray[np.int64],
        turns: NDArray[np.int64],
    ) -> None:
        self.kind, self.path = kind, path
        self.at_ns, self.next_turn = at_ns, next_turn
        self.notes: list[str] = []
        self.num_skipped, self.has_times, self.most_token_id = 0, True, 0
        self._columns, self._order = columns, order
        self._history, self._turns = history, turns
        self._names = tuple(columns.names)

    def __len__(self) -> int:
        return len(self._order)

    def _made(self, index: int) -> TraceEntry:
        columns, row = self._columns, int(self._order[index])
        number = columns.session[row]
        return TraceEntry(
            at_ns=int(self.at_ns[index]),
            input_length=_known(columns.input_length[row]),
            output_length=_known(columns.output_length[row]),
            hash_ids=tuple(columns.blocks(row)),
            session="" if number == UNKNOWN else self._names[number],
            delay_ns=_known(columns.delay_ns[row]),
            history=HISTORIES[self._history[index]],
            turn=int(self._turns[index]),
        )

    def delays_ns(self) -> NDArray[np.int64]:
        """Request -> how long after its predecessor's answer it leaves, or UNKNOWN."""
        return np.array(self._columns.delay_ns, dtype=np.int64)[self._order]

    def histories(self) -> list[str]:
        """How later turns of recorded lengths are read, for people: two readings are possible."""
        lengths = np.array(self._columns.input_length)[self._order]
        later = self._history[(self._turns > 0) & (lengths != UNKNOWN)]
        means = {"whole": "counts the turns before it", "added": "is what it adds to them"}
        return [
            f"{self.path}: the length of {n} later turns {text} (history: {name})"
            for name, text in means.items()
            if (n := int((later == HISTORIES.index(name)).sum()))
        ]

    def said(self, index: int) -> Said | None:
        """The words or token ids of one request, from the file; None if it has only lengths.

        Raises TraceError where the file is not what it was.
        """
        columns, row = self._columns, int(self._order[index])
        if columns.offset[row] == UNKNOWN:
            return None
        value = reread(self.path, columns.offset[row], columns.num_bytes[row])
        say = FORMATS[self.kind].said
        assert say is not None, self.kind
        try:
            return say(value, columns.part[row])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            where = f"{self.path}: at byte {columns.offset[row]}"
            raise TraceError(f"{where}: the file has changed meanwhile") from error


def _known(value: int) -> int | None:
    return None if value == UNKNOWN else value
