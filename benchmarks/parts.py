"""A benchmark of several parts, each of minutes: one that breaks takes no other's figures along."""

import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks.rows import Row, report


def report_parts(
    parts: Mapping[str, Callable[[], Iterable[Row]]], json_path: Path | None, title: str
) -> int:
    """Run them in order, then show the rows and write them where asked; what went wrong is shown
    where it did, and named at the end.

    Returns the exit code: 0 if no part failed, there are rows and all of them hold, else 1.
    """
    rows: list[Row] = []
    failed: list[str] = []
    for name, part in parts.items():
        try:
            rows += part()
        except Exception:
            traceback.print_exc()
            failed.append(name)
    code = report(rows, json_path, title)
    if failed:
        print(f"no figures of {', '.join(failed)}: see above", file=sys.stderr)
    return 1 if failed else code
