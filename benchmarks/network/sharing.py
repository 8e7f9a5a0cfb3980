"""Link sharing: 2 to 64 random flows over random graphs, beside brute force.

Graphs of 3 to 12 vertices, each with a random tree both ways, so that any two are joined, and as
many links again at random, of 1 to 100 GB/s; flows of 1 B to 10 MB take random shortest ways, with
weights of 1 to 4. Half of the cases start all flows at one instant, half start them one after the
other while others flow.

Brute force is written here with exact fractions, and knows nothing of the solver: all flows grow by
the largest step that no link forbids, again and again, and everything is reckoned anew at each
start and each end. It is checked itself: no link carries more than it can, and each flow crosses a
full one on which nobody of its weight has more (Bertsekas and Gallager, Data Networks, 1992, 6.5.2:
that is max-min fairness, and there is just one such division).

Expected: equal. Every flow ends in the ns that the exact solution says, rounded up, in the Python
solver and in the native one; so all shares between were equal too, but for less than what would
move an end by a ns. What came out: equal.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from benchmarks.rows import Row
from kernels import paths as native
from workers.hardware.sharing.fast_paths import FastPaths, ManyPaths
from workers.hardware.sharing.hops import PathFlow
from workers.hardware.sharing.paths import Paths

CASES = 200
FLOWS = (2, 64)
SEED = 14

Rates = dict[str, int]  # link -> bytes a second


@dataclass(frozen=True, slots=True)
class Wanted:
    """A flow to come."""

    starts_ns: int
    num_bytes: int
    path: tuple[str, ...]
    weight: int


def case_of(seed: int) -> tuple[Rates, list[Wanted]]:
    """A graph and flows over it, in order of their starts."""
    rng = random.Random(seed)
    num_vertices = rng.randint(3, 12)
    pairs = [(i, rng.randrange(i)) for i in range(1, num_vertices)]
    for _ in range(num_vertices):
        a, b = rng.sample(range(num_vertices), 2)
        pairs.append((a, b))
    links = dict.fromkeys((a, b) for one in pairs for a, b in (one, one[::-1]))
    rates = {f"{a}>{b}": rng.choice([1, 3, 7, 12, 25, 50, 100]) * 10**9 for a, b in links}
    together = seed % 2 == 0
    wanted = []
    for _ in range(rng.randint(*FLOWS)):
        source, target = rng.sample(range(num_vertices), 2)
        starts_ns = 0 if together else rng.randrange(20_000)
        path = way(list(links), source, target)
        wanted.append(Wanted(starts_ns, int(10 ** rng.uniform(0, 7)), path, rng.randint(1, 4)))
    return rates, sorted(wanted, key=lambda one: one.starts_ns)


def way(links: Sequence[tuple[int, int]], source: int, target: int) -> tuple[str, ...]:
    """A shortest one, breadth first."""
    came: dict[int, int] = {source: source}
    waiting = [source]
    for vertex in waiting:
        for a, b in links:
            if a == vertex and b not in came:
                came[b] = a
                waiting.append(b)
    hops = []
    while target != source:
        hops.append(f"{came[target]}>{target}")
        target = came[target]
    return tuple(reversed(hops))


def shares(wanted: Sequence[Wanted], rates: Rates) -> list[Fraction]:
    """Bytes a ns of each, by brute force."""
    got = [Fraction(0)] * len(wanted)
    growing = set(range(len(wanted)))
    while growing:
        step = None
        for link, bytes_per_s in rates.items():
            weight = sum(wanted[i].weight for i in growing if link in wanted[i].path)
            if weight:
                used = sum(got[i] for i, w in enumerate(wanted) if link in w.path)
                most = (Fraction(bytes_per_s, 10**9) - used) / weight
                step = most if step is None else min(step, most)
        assert step is not None, "each crosses a link"
        for i in growing:
            got[i] += step * wanted[i].weight
        growing = {
            i for i in growing if not any(_is_full(x, wanted, rates, got) for x in wanted[i].path)
        }
    for i, one in enumerate(wanted):
        assert any(
            _is_full(link, wanted, rates, got)
            and all(
                got[j] / other.weight <= got[i] / one.weight
                for j, other in enumerate(wanted)
                if link in other.path
            )
            for link in one.path
        ), "each is held back where nobody has more"
    return got


def _is_full(link: str, wanted: Sequence[Wanted], rates: Rates, got: Sequence[Fraction]) -> bool:
    used = sum((got[i] for i, w in enumerate(wanted) if link in w.path), Fraction(0))
    assert used <= Fraction(rates[link], 10**9), "no link carries more than it can"
    return used == Fraction(rates[link], 10**9)


def ends_by_force(wanted: Sequence[Wanted], rates: Rates) -> list[int]:
    """When each has moved its last byte: whole ns, rounded up; it keeps its share until then."""
    left = [Fraction(one.num_bytes) for one in wanted]
    ends_ns = [0] * len(wanted)
    here: list[int] = []
    to_come = list(range(len(wanted)))
    now_ns = 0
    while here or to_come:
        got = shares([wanted[i] for i in here], rates)
        next_ns = [now_ns - int(-left[i] // share) for i, share in zip(here, got, strict=True)]
        then_ns = min(next_ns + [wanted[i].starts_ns for i in to_come[:1]])
        for i, share in zip(here, got, strict=True):
            left[i] -= share * (then_ns - now_ns)
            if left[i] <= 0:
                ends_ns[i] = then_ns
        now_ns = then_ns
        here = [i for i in here if left[i] > 0]
        here += [i for i in to_come if wanted[i].starts_ns == now_ns]
        to_come = [i for i in to_come if wanted[i].starts_ns > now_ns]
    return ends_ns


def ends_by(
    make: Callable[[Rates], ManyPaths], wanted: Sequence[Wanted], rates: Rates
) -> list[int]:
    """The same of a solver; flows of one instant join together."""
    paths = make(rates)
    flows = [PathFlow(lambda _: None, w.num_bytes, w.path, None, w.weight) for w in wanted]
    for one, flow in zip(wanted, flows, strict=True):
        if one.starts_ns > paths.now_ns:
            paths.advance(one.starts_ns)
        paths.join(one.starts_ns, flow)
    while (end_ns := paths.next_end_ns) is not None:
        paths.advance(end_ns)
    return [flow.end_ns or 0 for flow in flows]


def rows(num_cases: int = CASES) -> Iterator[Row]:
    solvers: dict[str, Callable[[Rates], ManyPaths]] = {"Python": Paths}
    if native.available:
        solvers["native"] = FastPaths
    cases = [case_of(SEED + i) for i in range(num_cases)]
    expected = [ends_by_force(wanted, rates) for rates, wanted in cases]
    for name, make in solvers.items():
        for what, first in (("at one instant", 0), ("one after another", 1)):
            chosen = range(first, num_cases, 2)
            differ = sum(
                end_ns != by_force
                for i in chosen
                for end_ns, by_force in zip(
                    ends_by(make, cases[i][1], cases[i][0]), expected[i], strict=True
                )
            )
            num_flows = sum(len(cases[i][1]) for i in chosen)
            yield Row(
                f"max-min ends unlike brute force, {name} solver, flows start {what}",
                differ,
                "flows",
                f"0 of {num_flows:,}",
                differ == 0,
                f"measured: {len(chosen)} random graphs with {FLOWS[0]} to {FLOWS[1]} flows",
            )
