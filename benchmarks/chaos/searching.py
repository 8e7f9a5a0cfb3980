"""The part `search`: a short search for broken laws, with digests and with the model's numbers.

Expected before the first run: no law is broken, since longer searches of the same seeds found
nothing that still stands, and 10 trials and more a second and core with digests. The seeds are the
first ones, and as many mutants of what reached something new.

What came out so far, of 16 seeds alone on a machine with other work, a process' start included: no
law broken, 1.9 trials a second. The whole part has not run yet.
"""

import os
from collections.abc import Iterable
from typing import Literal

from benchmarks.rows import Row
from cluster.chaos.processes import processes
from cluster.chaos.search import Found, search

NUMBERS: tuple[tuple[Literal["digest", "real"], int, float], ...] = (
    ("digest", 320, 10.0), ("real", 48, 0.0),
)  # fmt: skip
# A search that is as slow as this says so in its rate; it is not stopped in between.
BUDGET_S = 600.0


def rows() -> Iterable[Row]:
    for numerics, seeds, bar in NUMBERS:
        width = os.cpu_count() or 1
        with processes(numerics, width) as run:
            found = search(run, 0, seeds, BUDGET_S, width, lambda found: None)
        yield from _told(numerics, found, width, bar)


def _told(numerics: str, found: Found, width: int, bar: float) -> Iterable[Row]:
    median = sorted(found.envelopes)[len(found.envelopes) // 2]
    where = f"measured: {width} processes, {found.took_s:.0f} s, median {median:,} envelopes"
    names = " ".join(seen.name for seen in found.failures)
    broken = len(found.failures)
    what = f"laws broken in {found.num_trials} trials, {numerics}"
    yield Row(what, broken, "", "0", not broken, f"{where} {names}".strip())
    rate = found.num_trials / found.took_s / width
    shown = f">= {bar:g}" if bar else "-"
    yield Row(f"trials a second and process, {numerics}", rate, "", shown, rate >= bar, where)
