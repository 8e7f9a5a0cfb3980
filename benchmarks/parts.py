"""A benchmark of several parts, each of minutes: one that breaks takes no other's figures along."""

import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks.rows import Row, arguments, report


def chosen_parts(
    parts: Mapping[str, Callable[[], Iterable[Row]]], description: str, title: str
) -> int:
    """A command that runs all of them, or those that `--only` names; see `report_parts`."""
    parser = arguments(description)
    parser.add_argument("--only", nargs="*", metavar="PART", choices=parts, help="of these parts")
    chosen = parser.parse_args()
    wanted = {name: part for name, part in parts.items() if name in (chosen.only or parts)}
    return report_parts(wanted, chosen.json, title)


def report_parts(
    parts: Mapping[str, Callable[[], Iterable[Row]]], json_path: Path | None, title: str
) -> int:
    """Run them in order, saying on stderr which is under way and how long each took; then show the
    rows and write them where asked. What went wrong is shown where it did, and named at the end.

    Returns the exit code: 0 if no part failed, there are rows and all of them hold, else 1.
    """
    rows: list[Row] = []
    failed: list[str] = []
    for number, (name, part) in enumerate(parts.items(), 1):
        print(f"[{number}/{len(parts)}] {name} ...", file=sys.stderr, flush=True)
        begun_s = time.monotonic()
        try:
            rows += part()
            print(f"    {time.monotonic() - begun_s:.0f} s", file=sys.stderr, flush=True)
        except Exception:
            traceback.print_exc()
            failed.append(name)
    code = report(rows, json_path, title)
    if failed:
        print(f"no figures of {', '.join(failed)}: see above", file=sys.stderr)
    return 1 if failed else code
