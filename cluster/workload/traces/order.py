"""When each row comes, and after which: from columns as they were read to a trace in order."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.index import HISTORIES, UNKNOWN, Columns, Trace
from cluster.workload.traces.recorded import History, Notes
from configs.outside import INTEGER_MAX

Int64s = NDArray[np.int64]
_NONE, _WHOLE, _ADDED, _AUTO = range(len(HISTORIES))


def ordered(
    kind: str,
    path: Path,
    columns: Columns,
    notes: Notes,
    history: History = "auto",
) -> Trace:
    """The rows by time, those of one time as in the file. `history` other than auto replaces what
    the rows themselves say of their session's earlier turns. Raises TraceError.
    """
    recorded_ns = np.array(columns.at_ns, dtype=np.int64)
    has_times = bool((recorded_ns != UNKNOWN).any())
    if has_times and columns.untimed:
        raise TraceError(f"{columns.untimed}: has no time, but other rows have: it must have one")
    at_ns = _times(path, columns, recorded_ns)
    own = (recorded_ns != UNKNOWN) & (np.array(columns.delay_ns) == UNKNOWN)
    notes.unordered = int((np.diff(at_ns[own]) < 0).sum())
    order = np.argsort(at_ns, kind="stable")
    histories = np.array(columns.history, dtype=np.int8)[order]
    next_turn = np.full(len(order), UNKNOWN, dtype=np.int64)
    numbers = np.zeros(len(order), dtype=np.int64)
    for turns in _sessions(columns, order):
        next_turn[turns[:-1]], numbers[turns] = turns[1:], np.arange(len(turns))
        if history == "auto":
            _resolve(columns, order, turns, histories, notes.block_tokens)
        else:
            histories[turns] = HISTORIES.index(history)
    histories[numbers == 0] = _NONE  # nothing was before
    trace = Trace(kind, path, columns, order, at_ns[order], histories, next_turn, numbers)
    trace.has_times = has_times
    return trace


def _times(path: Path, columns: Columns, recorded_ns: Int64s) -> Int64s:
    """When each row comes at the soonest, from the first one: a turn with a delay, or without a
    time of its own, as if the turn before took no time.
    """
    own = recorded_ns != UNKNOWN
    seen: set[int] = set()
    for row, session in enumerate(columns.session if columns.names else ()):
        if session in seen and columns.delay_ns[row] != UNKNOWN:
            own[row] = False  # whatever it says, it waits for an answer
        if session != UNKNOWN:
            seen.add(session)
    first_ns = recorded_ns[own].min() if own.any() else 0
    since_ns = np.where(own, recorded_ns - first_ns, 0)
    return _following(path, columns, own, since_ns) if columns.names else since_ns


def _following(path: Path, columns: Columns, own: NDArray[np.bool_], since_ns: Int64s) -> Int64s:
    latest: dict[int, int] = {}
    soonest_ns = since_ns.tolist()
    for row, session in enumerate(columns.session):
        if session == UNKNOWN:
            continue
        before_ns = latest.get(session)
        if before_ns is not None and not own[row]:
            soonest_ns[row] = before_ns + max(columns.delay_ns[row], 0)
            if soonest_ns[row] > INTEGER_MAX:
                raise TraceError(f"{path}: the delays of a session lead past the end of the clock")
        latest[session] = soonest_ns[row]
    return np.array(soonest_ns, dtype=np.int64)


def _sessions(columns: Columns, order: Int64s) -> Iterator[Int64s]:
    """The rows of each session that has several, in order."""
    if not columns.names:
        return
    sessions = np.array(columns.session, dtype=np.int64)[order]
    grouped = np.argsort(sessions, kind="stable")
    for turns in np.split(grouped, np.flatnonzero(np.diff(sessions[grouped])) + 1):
        if len(turns) > 1 and sessions[turns[0]] != UNKNOWN:
            yield turns


def _resolve(
    columns: Columns,
    order: Int64s,
    turns: Int64s,
    histories: NDArray[np.int8],
    block_tokens: int,
) -> None:
    """Decide what a session's rows leave open. Prompts that are whole are never shorter than the
    prompt and answer before; where one is, rows can only be what is new. And a prompt whose blocks
    differ from those before begins otherwise, whatever its length.
    """
    rows = [int(order[turn]) for turn in turns]
    lengths, answers = columns.input_length, columns.output_length
    fits = all(lengths[b] >= lengths[a] + answers[a] for a, b in pairwise(rows))
    for turn, (before, row) in zip(turns[1:], pairwise(rows), strict=True):
        if histories[turn] == _AUTO:
            is_same = not fits or _begins_with(columns, row, before, block_tokens)
            histories[turn] = (_WHOLE if is_same else _NONE) if fits else _ADDED
        elif histories[turn] == _WHOLE and lengths[row] < lengths[before]:
            histories[turn] = _NONE


def _begins_with(columns: Columns, row: int, before: int, block_tokens: int) -> bool:
    """Whether the full blocks of the prompt before are the first ones of this; so too where there
    are no blocks.
    """
    had, has = columns.blocks(before), columns.blocks(row)
    full = columns.input_length[before] // block_tokens
    return not had or not has or had[:full] == has[:full]
