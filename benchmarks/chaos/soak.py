"""The long bars, in parts that add up in one file: `make soak`.

--minutes N    no further unit begins after so long (40); run it again to go on
--only PART    of these parts       --file FILE    with what was done so far

local            real processes, killed, stopped and cut off: 6 units of 5 minutes
rolling          every process restarts while eight clients read: 3 units
search, real     10,000 and 500 seeds of the search for broken laws, 500 and 50 a unit
overload         ten times what the cluster can answer, virtual world: 1 unit
overload-local   the same over HTTP, real processes: 1 unit of ten minutes
fuzz-TARGET      each reader of bytes for ten minutes: 2 units of 5
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from benchmarks.chaos import local, overload, overload_local, rolling
from benchmarks.chaos.soaked import Totals, Unit, read, write
from benchmarks.fuzz.corpus import keep, kept
from benchmarks.fuzz.running import fuzz
from benchmarks.fuzz.targets import PLACES
from benchmarks.rows import Row, arguments, report
from cluster.chaos.processes import processes
from cluster.chaos.search import search

LOCAL_S, FUZZ_S, OVERLOAD_S = 300.0, 300.0, 600.0
# A unit of the search that is as slow as this ends, and counts for the trials that it did.
SEARCH_S = 1200.0


@dataclass(frozen=True)
class Part:
    """`run` does unit number N; `good` says of the totals whether they hold, and why not."""

    units: int
    run: Callable[[int], Unit]
    bad: Callable[[Totals], list[str]]


def _local(number: int) -> Unit:
    came = local.soak(LOCAL_S, seed=number + 1)
    tally = came.tally
    numbers = {
        "seconds": came.seconds, "begun": tally.num_begun, "ended": tally.num_ended,
        "finished": tally.num_finished, "faults": sum(came.struck.values()),
        "resumed": tally.num_resumed, "refused": tally.num_refused,
        **{f"most_{what}": factor for what, factor in came.growth.items()},
    }  # fmt: skip
    found = {
        "never_ended": tally.never_ended, "wrong": tally.wrong, "problems": came.problems,
        "left": came.left,
    }  # fmt: skip
    return Unit(numbers, found)


def _local_bad(totals: Totals) -> list[str]:
    numbers = totals.numbers
    bad = [name for name in ("never_ended", "wrong", "problems", "left") if totals.found.get(name)]
    if numbers["finished"] < local.SHARE_MIN * numbers["begun"]:
        bad.append("finished")
    grown = ("most_memory", "most_files")
    return bad + [name for name in grown if numbers.get(name, 1.0) > local.GROWTH_MAX]


def _search(numerics: Literal["digest", "real"], seeds: int) -> Callable[[int], Unit]:
    def run(number: int) -> Unit:
        width = os.cpu_count() or 1
        with processes(numerics, width) as runner:
            found = search(runner, number * seeds, seeds, SEARCH_S, width, lambda found: None)
        numbers = {"trials": found.num_trials, "seconds": found.took_s}
        return Unit(numbers, {"broken": [seen.name for seen in found.failures]})

    return run


def _rows_unit(rows: Callable[[], Iterator[Row]]) -> Callable[[int], Unit]:
    """Of a part that is measured by rows: those that do not hold are found."""

    def run(_: int) -> Unit:
        told = list(rows())
        bad = [f"{row.name}: {row.value} {row.unit}, {row.bar}" for row in told if not row.holds]
        return Unit({"rows": len(told)}, {"bad": bad})

    return run


def _overload_local() -> Iterator[Row]:
    return iter(overload_local.rows_of(overload_local.overload(OVERLOAD_S)))


def _fuzz(name: str, folder: Path) -> Callable[[int], Unit]:
    def run(_: int) -> Unit:
        came = fuzz(name, FUZZ_S, kept(name, folder))
        folder.mkdir(parents=True, exist_ok=True)
        keep(name, came.grown, folder=folder)
        found = [f"{came.told.splitlines()[-1]:.200} {data!r:.300}" for data in came.findings]
        if came.told and not found:
            found = [came.told[-300:]]
        return Unit({"inputs": came.num_runs, "cpu_seconds": came.cpu_s}, {"findings": found})

    return run


def _nothing(name: str) -> Callable[[Totals], list[str]]:
    return lambda totals: [name] if totals.found.get(name) else []


def parts(folder: Path) -> Mapping[str, Part]:
    """`folder`: for what the fuzzers find new."""
    found = {
        "local": Part(6, _local, _local_bad),
        "rolling": Part(3, _rows_unit(lambda: iter(rolling.rows())), _nothing("bad")),
        "search": Part(20, _search("digest", 500), _nothing("broken")),
        "real": Part(10, _search("real", 50), _nothing("broken")),
        "overload": Part(1, _rows_unit(lambda: iter(overload.long_overload())), _nothing("bad")),
        "overload-local": Part(1, _rows_unit(_overload_local), _nothing("bad")),
    }
    if find_spec("atheris") is not None:
        for name in PLACES:
            found[f"fuzz-{name}"] = Part(2, _fuzz(name, folder), _nothing("findings"))
    return found


def row(name: str, part: Part, totals: Totals) -> Row:
    """One part's, so far."""
    bad = part.bad(totals) if totals.units else ["nothing was done"]
    said = ", ".join(f"{value:,.4g} {what}" for what, value in totals.numbers.items())
    found = "; ".join(f"{what}: {one}" for what in totals.found for one in totals.found[what][:2])
    is_whole = totals.units >= part.units
    value = f"{totals.units} of {part.units} units" + (f", not: {', '.join(bad)}" if bad else "")
    evidence = f"measured: {said or 'nothing yet'}" + (f"; {found}" if found else "")
    return Row(name, value, "", "all, and all hold", is_whole and not bad, f"{evidence:.700}")


def main() -> int:
    parser = arguments(__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--only", nargs="*", metavar="PART")
    parser.add_argument("--file", type=Path, default=Path("out/soak.json"))
    given = parser.parse_args()
    all_parts = parts(given.file.with_suffix(""))
    if unknown := [name for name in given.only or () if name not in all_parts]:
        parser.error(f"--only {unknown[0]}: must be of {', '.join(all_parts)}")
    wanted = {name: all_parts[name] for name in given.only or all_parts}
    totals, ends_s = read(given.file), time.monotonic() + given.minutes * 60
    for name, part in wanted.items():
        while totals.setdefault(name, Totals()).units < part.units and time.monotonic() < ends_s:
            number = totals[name].units
            print(f"{name}: unit {number + 1} of {part.units} ...", file=sys.stderr, flush=True)
            totals[name].add(part.run(number))
            write(given.file, totals)
    return report([row(n, part, totals[n]) for n, part in wanted.items()], given.json, "Soak")


if __name__ == "__main__":
    sys.exit(main())
