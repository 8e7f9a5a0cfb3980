"""Traces in CSV: Azure's, BurstGPT's, Vidur's.

Azure     TIMESTAMP,ContextTokens,GeneratedTokens; 2023 without a time zone, 2024 with one; CR LF
BurstGPT  Timestamp in seconds, Request tokens, Response tokens; the third release names sessions
Vidur     arrived_at in seconds, num_prefill_tokens, num_decode_tokens; some files have no times
"""

import csv
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.recorded import Format, Notes, Recorded
from cluster.workload.traces.source import lines
from cluster.workload.traces.values import Row, S


@dataclass(frozen=True, slots=True)
class Table:
    """unit_ns   of the column with the time; None: it holds dates
    needs_time  whether a file without that column is refused
    unused      columns that a run does not need
    """

    name: str
    time: str
    unit_ns: int | None
    input: str
    output: str
    session: str | None = None
    needs_time: bool = True
    unused: tuple[str, ...] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        return ((self.time,) if self.needs_time else ()) + (self.input, self.output)

    @property
    def used(self) -> tuple[str, ...]:
        return (self.time, self.input, self.output, *([self.session] if self.session else []))

    def rows(self, path: Path, notes: Notes) -> Iterator[Recorded]:
        """Raises TraceError with file and line."""
        with closing(lines(path)) as pieces:  # an error's frame would keep the file open with them
            yield from self._read(_rows(path, (piece.text for piece in pieces)), notes)

    def _read(self, found: Iterator[tuple[str, list[str]]], notes: Notes) -> Iterator[Recorded]:
        where, header = next(found)
        columns = [name.strip() for name in header]
        self._check(where, columns)
        notes.keys(where, columns, self.used, self.unused)
        for where, cells in found:
            if len(cells) > len(columns):
                raise TraceError(f"{where}: has more fields than the {len(columns)} columns")
            values = dict(zip_longest(columns, cells))
            if (row := self._row(Row(where, values), notes)) is not None:
                yield row

    def _row(self, row: Row, notes: Notes) -> Recorded | None:
        at_ns = (
            row.moment_ns(self.time)
            if self.unit_ns is None
            else row.time_ns(self.time, self.unit_ns)
        )
        if at_ns is None and self.time in row.values:
            raise TraceError(f"{row.where}: {self.time} is empty: it must be a number")
        num_input, num_output = row.length(self.input), row.length(self.output)
        if not num_input or not num_output:
            notes.skipped += 1
            return None
        session = row.name(self.session) if self.session else ""
        return Recorded(row.where, at_ns, num_input, num_output, session=session, history="whole")

    def _check(self, where: str, columns: list[str]) -> None:
        missing = [column for column in self.needed if column not in columns]
        if missing:
            raise TraceError(
                f"{where}: lacks column {', '.join(missing)}: {self.name} begins with "
                f"{','.join(self.needed)}"
            )
        twice = next((c for c in columns if columns.count(c) > 1), None)
        if twice is not None:
            raise TraceError(f"{where}: has column {twice!r} twice: one of them must go")


TABLES = (
    Table("azure", "TIMESTAMP", None, "ContextTokens", "GeneratedTokens", unused=("NumImages",)),
    Table(
        "burstgpt", "Timestamp", S, "Request tokens", "Response tokens",
        session="Session ID",
        unused=("Elapsed time", "Model", "Total tokens", "Log Type"),
    ),
    Table(
        "vidur", "arrived_at", S, "num_prefill_tokens", "num_decode_tokens",
        needs_time=False,
        unused=("num_total_tokens", "pd_ratio"),
    ),
)  # fmt: skip

FORMATS = tuple(
    Format(table.name, f"CSV with {', '.join(table.needed)}", table.rows) for table in TABLES
)


def _rows(path: Path, texts: Iterator[str]) -> Iterator[tuple[str, list[str]]]:
    """Where each row stands, and its cells; empty lines are passed over. A file of
    those alone has one row without cells. Raises TraceError.
    """
    reader, is_empty = csv.reader(texts, strict=True), True
    try:
        for cells in reader:
            if len(cells) > 1 or "".join(cells).strip():
                is_empty = False
                yield f"{path}:{reader.line_num}", cells
    except csv.Error as error:
        raise TraceError(f"{path}:{reader.line_num}: is not CSV: {error}") from error
    if is_empty:
        yield f"{path}:1", []


def table_of(columns: list[str]) -> str | None:
    """The format whose columns a header has."""
    found = (t.name for t in TABLES if {t.input, t.output} <= set(columns))
    return next(found, None)
