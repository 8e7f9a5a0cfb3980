"""Run the groups of checks and show one table: `make bench-laws`, `ARGS="--only NAME ..."`."""

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pkgutil import iter_modules

from benchmarks import laws
from benchmarks.rows import Row, arguments, report, wide_console


def groups() -> list[str]:
    return sorted(found.name for found in iter_modules(laws.__path__) if found.name[0] != "_")


def rows(names: Sequence[str], seed: int) -> Iterator[Row]:
    """Each row as it is measured; raises whatever a group raises."""
    for name in names:
        yield from import_module(f"{laws.__name__}.{name}").rows(seed)


def main() -> int:
    parser = arguments("The laws of emulated time and of requests.")
    parser.add_argument("--only", nargs="+", metavar="GROUP", choices=groups(), default=groups())
    parser.add_argument("--seed", type=int, default=1, help="of whatever a group draws at random")
    options = parser.parse_args()
    console = wide_console()
    found: list[Row] = []
    with console.status("measuring ...") as status:
        for row in rows(options.only, options.seed):
            found.append(row)
            status.update(f"{len(found)} rows, last: {row.name}")
    return report(found, options.json, "laws", console)


if __name__ == "__main__":
    sys.exit(main())
