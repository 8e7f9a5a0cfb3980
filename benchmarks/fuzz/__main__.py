"""A fuzzer that follows coverage, for each reader of bytes from outside: `make fuzz`.

    --only TARGET ...    of these targets     --seconds N    for each of them
    --keep               what was found new, as far as there is room, goes into corpus/

A finding is printed with its traceback, and written to --out as bytes.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.fuzz.corpus import keep, kept, shortest
from benchmarks.fuzz.running import Came, fuzz, row
from benchmarks.fuzz.targets import PLACES, load_target
from benchmarks.rows import UNAVAILABLE, arguments, report

LACKING = "atheris is not installed: .venv/bin/pip install -c constraints.txt -e '.[fuzz]'"


def main() -> int:
    parser = arguments(__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--only", nargs="*", choices=PLACES, metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--keep", action="store_true", help="add to the corpus")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"), help="for findings")
    given = parser.parse_args()
    if find_spec("atheris") is None:
        print(LACKING, file=sys.stderr)
        return UNAVAILABLE
    rows = []
    for name in given.only or PLACES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        came = fuzz(name, given.seconds)
        rows.append(row(came, load_target(name).about))
        _tell(came, given.out)
        if given.keep:
            room = [*kept(name), *came.grown]
            keep(name, [one for one in shortest(room) if one in came.grown])
    return report(rows, given.json, "fuzz")


def _tell(came: Came, out: Path) -> None:
    if not came.told:
        return
    print(came.told, file=sys.stderr)
    out.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(came.findings):
        path = out / f"{came.name}-{number}"
        path.write_bytes(data)
        print(f"{path}: {data[:200]!r}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
