"""The search: fresh seeds, mutants of what reached something new, and trials that strike where no
fault struck yet, on all cores.

Rounds make it repeatable: which trials a round has follows from the rounds before, and not from
which process was faster. A budget of time ends it between two rounds.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random

from cluster.chaos.coverage import Coverage
from cluster.chaos.drawing import SEEDS_A_SHAPE
from cluster.chaos.mutating import CELLS, MUTATIONS_MAX
from cluster.chaos.trial import Seen

# Of a round's trials: so many shapes' fresh seeds for each process, and as many that are made of
# earlier ones. Of these some strike empty cells, each so often, and the rest are mutants.
SHAPES_A_PROCESS = 2
STRIKES_A_CELL = 2
MUTATIONS = 1_000_000

Runner = Callable[[Iterable[list[str]]], Iterable[list[Seen]]]
OnRound = Callable[["Found"], None]


@dataclass
class Found:
    """What a search has found so far."""

    coverage: Coverage = field(default_factory=Coverage)
    failures: list[Seen] = field(default_factory=list)
    num_trials: int = 0
    num_tokens: int = 0
    num_answered: int = 0
    num_failed: int = 0
    envelopes: list[int] = field(default_factory=list)
    took_s: float = 0.0

    def add(self, seen: Seen) -> None:
        self.coverage.add(seen)
        self.num_trials += 1
        self.num_tokens += seen.num_tokens
        self.num_answered += seen.num_answered
        self.num_failed += seen.num_failed
        self.envelopes.append(seen.num_envelopes)
        if seen.broken:
            self.failures.append(seen)


def search(
    run: Runner,
    first_seed: int,
    num_trials: int,
    budget_s: float,
    width: int,
    on_round: OnRound,
    *,
    until_broken: bool = False,
    has_ended: Callable[[], bool] = lambda: False,
) -> Found:
    """width          processes that `run` has
    until_broken   end with the first shape of which a trial broke a law
    has_ended      asked after each shape: whether that is enough
    """
    found, begun_s = Found(), time.monotonic()
    fresh = first_seed
    while found.num_trials < num_trials and time.monotonic() - begun_s < budget_s:
        left = num_trials - found.num_trials
        names, fresh = _round(found.coverage, fresh, min(left, _size(width)), first_seed)
        for part in run(_by_shape(names)):
            for seen in part:
                found.add(seen)
            if has_ended() or (until_broken and found.failures):
                found.took_s = time.monotonic() - begun_s
                return found
        found.took_s = time.monotonic() - begun_s
        on_round(found)
    return found


def _size(width: int) -> int:
    return 2 * SHAPES_A_PROCESS * width * SEEDS_A_SHAPE


def _round(coverage: Coverage, fresh: int, size: int, first_seed: int) -> tuple[list[str], int]:
    """Names, and the next fresh seed. The first round has nothing to change."""
    corpus = coverage.corpus
    num_made = size // 2 if corpus else 0
    random = Random(f"chaos round {first_seed} {fresh}")
    end = fresh + size - num_made
    names = [str(seed) for seed in range(fresh, end)]
    strikes = list(_strikes(coverage, random))
    random.shuffle(strikes)
    names += strikes[: num_made * 2 // 3]
    while len(names) < size:
        # Latest ones more often: they lie where nobody was before.
        parent = corpus[int(len(corpus) * max(random.random(), random.random()))]
        if parent.count(".") >= MUTATIONS_MAX:
            parent = parent.split(".")[0]
        names.append(f"{parent}.{random.randrange(MUTATIONS)}")
    return names, end


def _strikes(coverage: Coverage, random: Random) -> Iterator[str]:
    """Names of trials that aim at cells which nobody met."""
    for cell, seeds in coverage.wanted():
        for _ in range(STRIKES_A_CELL):
            number = random.randrange(MUTATIONS)
            yield f"{random.choice(seeds)}.{number}x{CELLS.index(cell)}"


def _by_shape(names: list[str]) -> list[list[str]]:
    """Those of one shape go to one process, which then makes it once."""
    parts: dict[int, list[str]] = {}
    for name in names:
        parts.setdefault(int(name.split(".")[0]) // SEEDS_A_SHAPE, []).append(name)
    return list(parts.values())
