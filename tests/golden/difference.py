"""What changed between two recordings, kind by kind, so that a reviewer can say why."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.golden.recording import Recording, Row

EXAMPLES = 2


def differences(old: Recording, new: Recording) -> list[str]:
    """A line a kind of record that changed, each with an example; empty if nothing did."""
    if old.rows == new.rows:
        return []
    lines: list[str] = []
    for kind in dict.fromkeys([*map(kind_of, old.rows), *map(kind_of, new.rows)]):
        was = [row for row in old.rows if kind_of(row) == kind]
        now = [row for row in new.rows if kind_of(row) == kind]
        if was != now:
            lines.append(f"{kind}: {_counts(was, now)}")
            lines.extend(f"    {line}" for line in _examples(was, now))
    return lines or ["the same records of each kind, in another order between kinds"]


def kind_of(row: Row) -> str:
    """What a reviewer would call it: the kind of a message, the name of a work, or the type."""
    return f"{row[0]} {row[2]}" if row[0] in ("message", "run") else str(row[0])


def content_of(row: Row) -> Row:
    """The record without its time."""
    return row if row[0] == "answer" else (row[0], *row[2:])


def _counts(was: Sequence[Row], now: Sequence[Row]) -> str:
    if len(was) != len(now):
        return f"{len(was)} records, now {len(now)}"
    if [content_of(r) for r in was] == [content_of(r) for r in now]:
        moved = [new[1] - old[1] for old, new in zip(was, now, strict=True)]
        return f"{sum(map(bool, moved))} of {len(now)} moved by {min(moved):+} to {max(moved):+} ns"
    old, new = Counter(map(repr, map(content_of, was))), Counter(map(repr, map(content_of, now)))
    if old == new:
        return f"the same {len(now)} records in another order"
    return f"{sum((new - old).values())} of {len(now)} say something else"


def _examples(was: Sequence[Row], now: Sequence[Row]) -> Iterator[str]:
    changed = [(a, b) for a, b in zip(was, now, strict=False) if a != b]
    for old, new in changed[:EXAMPLES]:
        yield f"- {old}"
        yield f"+ {new}"
