"""One shape for every number that is shown: what, how much, its bar, and what it rests on."""

import argparse
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a machine that only measures a GPU may lack rich: see `report`
    from rich.console import Console
    from rich.table import Table

# A row's evidence begins with one: ran here, fitted to public measurements, from a specification.
EVIDENCE = ("measured", "calibrated", "projection")
# The exit code of a benchmark that this machine has not the means for (EX_UNAVAILABLE of
# sysexits.h): a GPU, another engine's environment.
UNAVAILABLE = 69
# Logs have no width of their own; rich would take 80 and fold every name.
LOG_COLUMNS = 160


@dataclass(frozen=True)
class Row:
    """One number beside its bar.

    name      what was measured, with the conditions that matter ("recall@3, dedicated store")
    value     the number, or a word where the result is one ("equal")
    unit      "s", "MiB", "tokens/s", "" ...
    bar       what was asked, as shown ("<= 120 s", "1.00 of 50 prompts")
    holds     whether the value meets the bar
    evidence  "measured", "calibrated" or "projection", then how: "measured: 3 runs, median"

    Raises ValueError if the evidence begins with none of the three words.
    """

    name: str
    value: float | str
    unit: str
    bar: str
    holds: bool
    evidence: str

    def __post_init__(self) -> None:
        kind = self.evidence.split(":")[0].split(" ")[0]
        if kind not in EVIDENCE:
            raise ValueError(
                f"evidence of row {self.name!r} is {self.evidence!r}: "
                f"it must begin with one of {', '.join(EVIDENCE)}"
            )


def arguments(description: str) -> argparse.ArgumentParser:
    """The parser that every benchmark starts from; it knows `--json FILE`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="also write the rows to FILE, as a list of objects",
    )
    return parser


def _plain(row: Row) -> dict[str, object]:
    """The row as JSON can say it: numpy scalars become Python's, NaN and infinity become words."""
    value = row.value if isinstance(row.value, str) else float(row.value)
    if isinstance(value, float) and not math.isfinite(value):
        value = str(value)
    return asdict(row) | {"value": value, "holds": bool(row.holds)}


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write a JSON list of objects; a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        objects = [_plain(row) for row in rows]
        partial.write_text(json.dumps(objects, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_rows(path: Path) -> list[Row]:
    """The reverse of `write_rows`; raises ValueError where the file is not a list of rows."""
    try:
        objects = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    names = [field.name for field in fields(Row)]
    if not isinstance(objects, list):
        raise ValueError(f"{path} holds a {type(objects).__name__}: it must be a list of rows")
    rows = []
    for index, entry in enumerate(objects):
        if not isinstance(entry, dict) or sorted(entry) != sorted(names):
            raise ValueError(f"{path}, row {index}: it must have the keys {', '.join(names)}")
        rows.append(Row(**entry))
    return rows


def shown(value: float | str) -> str:
    """Words as they are, whole numbers with separators, others with four significant digits."""
    if isinstance(value, str):
        return value
    number = float(value)
    if number.is_integer() and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:,.0f}" if abs(number) >= 10_000 else f"{number:.4g}"


def table(rows: Sequence[Row], title: str = "") -> "Table":
    """The rows as a rich table; text is taken literally, brackets are no markup."""
    from rich.table import Table
    from rich.text import Text

    result = Table(title=title or None, title_justify="left")
    result.add_column("what", overflow="fold")
    result.add_column("value", justify="right")
    result.add_column("bar")
    result.add_column("holds", justify="center")
    result.add_column("evidence", overflow="fold")
    for row in rows:
        result.add_row(
            Text(row.name),
            Text(f"{shown(row.value)} {row.unit}".rstrip()),
            Text(row.bar),
            Text("yes", style="green") if row.holds else Text("NO", style="bold red"),
            Text(row.evidence),
        )
    return result


def plain(rows: Sequence[Row], title: str = "") -> str:
    """The rows where rich is not: a line each."""
    lines = [title] if title else []
    for row in rows:
        value = f"{shown(row.value)} {row.unit}".rstrip()
        verdict = "yes" if row.holds else "NO"
        lines.append(f"{row.name}: {value} (bar: {row.bar}, holds: {verdict}) {row.evidence}")
    return "\n".join(lines)


def wide_console() -> "Console":
    """A console as wide as its terminal, or LOG_COLUMNS where the output is a file or a pipe."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=LOG_COLUMNS)


def report(
    rows: Sequence[Row],
    json_path: Path | None = None,
    title: str = "",
    console: "Console | None" = None,
) -> int:
    """Show the rows and write them where asked.

    Returns the exit code: 0 if there are rows and all of them hold, else 1.
    """
    if console is None and find_spec("rich") is None:
        print(plain(rows, title))
    else:
        (console or wide_console()).print(table(rows, title))
    if json_path is not None:
        write_rows(rows, json_path)
    return 0 if rows and all(row.holds for row in rows) else 1
