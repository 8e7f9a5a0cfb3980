"""The native engine beside the plain one: the same steps, at the same ns, in the same order, and
the same counts. (The plain one beside real nodes: tests/workers/experts/test_fold.py.)
"""

import random
from typing import Any

import numpy as np
import pytest

from kernels.fold import (
    NOBODY,
    Chosen,
    Drawn,
    Ended,
    Engine,
    FoldEngine,
    Link,
    PlainEngine,
    Size,
    Term,
    Terms,
)
from kernels.fold.engine import available

needs_library = pytest.mark.skipif(not available, reason="the native library is not built")


class Plan:
    """A random group, and what is asked of it. Coarse times, so that much is at one instant."""

    def __init__(self, seed: int) -> None:
        rng = self.rng = random.Random(seed)
        self.chips, self.shards = rng.randint(1, 7), rng.choice([1, 2, 3, 5, 40])
        self.experts = rng.choice([self.shards, 3 * self.shards, 70 + self.shards])
        self.exchanges, self.top_k = rng.choice([0, 1, 2, 3]), rng.randint(1, 3)
        rate = rng.choice([10**9, 333 * 10**6, 4 * 10**9])
        rates = [rate, rate if rng.random() < 0.6 else rate * rng.choice([2, 3]) // 5]
        rng.shuffle(rates)
        chip_link, shard_link = (
            Link(one, rng.choice([1, 500]), rng.choice([0, 0, 30])) for one in rates
        )
        self.grain = rng.choice([1, 500])
        self.terms = Terms(
            chip_link,
            shard_link,
            Size(rng.choice([0, 68]), rng.choice([1, 100])),
            Size(rng.choice([0, 64]), rng.choice([1, 250])),
            self.grain * rng.randint(0, 2),
            tuple(self.grain * count for count in range(self.experts + 1)),
            (
                Term("choices", rng.randint(0, 999), rng.choice([10**9, 0.78e9])),
                Term("rows", rng.randint(0, 99), 1e9 / 3),
            ),
        )
        self.slow = [rng.choice([1.0, 1.0, 1.5, 3.7]) for _ in range(self.shards)]
        owners = [*range(self.shards)]
        owners += [rng.randrange(self.shards) for _ in range(self.experts - self.shards)]
        rng.shuffle(owners)
        self.owners, self.draws = owners, np.random.default_rng(seed)
        # Skewed: low numbers are asked for more often.
        self.weights_E = 1.0 / np.arange(1, self.experts + 1) ** rng.choice([0, 1.0, 1.5])

    def make(self, engine: type[Engine]) -> Engine:
        return engine(self.chips, self.owners, self.terms, self.exchanges, self.slow)

    def tokens(self, *shape: int) -> np.ndarray[Any, Any]:
        """Experts of tokens, by the exponential race; some are nobody."""
        times = self.draws.exponential(size=(*shape, self.experts)) / self.weights_E
        chosen = times.argsort(axis=-1)[..., : self.top_k].astype(np.int32)
        if self.rng.random() < 0.3:
            chosen[self.draws.random(chosen.shape) < 0.2] = NOBODY
        return chosen

    def stretch(self, num_pools: int) -> tuple[Any, Any]:
        """Launches, and choices given or drawn."""
        rng, steps, tokens = self.rng, self.rng.randint(1, 3), self.rng.choice([0, 1, 2, 5, 40])
        launches = self.grain * self.draws.integers(0, 4, (steps, self.exchanges + 1))
        if self.exchanges and rng.random() < 0.5:
            pool, first = rng.randrange(num_pools), rng.randrange(100)
            return launches, Drawn(pool, tokens, rng.choice([7, -1, 2**63]), first)
        return launches, Chosen(self.tokens(steps, self.exchanges, tokens))


def beside(plan: Plan, made: list[Engine], where: str) -> None:
    """Others on a chip's machine and link, told to each of them at the instant of its `now_ns`."""
    rng, chip, now_ns = plan.rng, plan.rng.randrange(plan.chips), made[0].now_ns
    size = rng.choice([1, 200, 5000])
    way = rng.choice(["leave", "come", "come", "hold", "lengthen"])
    limit = rng.choice([0, 0, 10**9 // 7, 10**10])
    if way == "leave":
        ends = [engine.leave(chip, now_ns, size) for engine in made]
    elif way == "come":
        ends = [engine.come(chip, now_ns, size, limit) for engine in made]
    elif way == "hold":
        slow, until_ns = rng.choice([1.0, 2.5]), now_ns + plan.grain * rng.randint(0, 9)
        ends = [0 for engine in made if engine.hold(chip, now_ns, until_ns, slow) is None]
    elif (found := made[0].under_way(chip, now_ns)) and found.is_launching:
        ends = [0 for engine in made if engine.lengthen(chip, now_ns, plan.grain) is None]
    else:
        return
    assert len(set(ends)) == 1, f"{where}: {way} ends at {ends}"
    looked = [engine.under_way(chip, now_ns) for engine in made]
    for one in looked[1:]:
        assert (one is None) == (looked[0] is None), where
        if one is not None and looked[0] is not None:
            same = one.is_launching, one.step, one.exchange
            assert same == (looked[0].is_launching, looked[0].step, looked[0].exchange), where
            assert not one.is_launching or one == looked[0], where


def play(seed: int, engines: list[type[Engine]], others: int = 0) -> None:
    """Begin, cut and advance, the same of each; they must agree at every look."""
    plan = Plan(seed)
    made, rng, chips = [plan.make(engine) for engine in engines], plan.rng, plan.chips
    pools = [plan.tokens(layers, 9, 1)[:, :, 0] for layers in (1, plan.exchanges) if layers]
    for pool in pools:
        assert len({engine.add_pool(pool) for engine in made}) == 1
    going: set[int] = set()
    each = seed % 3 == 0
    for _ in range(40):
        begun = [chip for chip in range(chips) if chip not in going and rng.random() < 0.7]
        for chip in begun:
            launches, choices = plan.stretch(len(pools))
            later_ns = plan.grain * rng.choice([0, 0, 1, 3])
            for engine in made:
                engine.begin(chip, engine.now_ns + later_ns, launches, choices)
        going.update(begun)
        for _ in range(others):
            if rng.random() < 0.6:
                beside(plan, made, f"seed {seed}")
        if rng.random() < 0.3:
            cut = rng.randrange(chips)
            for engine in made:
                engine.cut(cut)
        until_ns = None if rng.random() < 0.6 else made[0].now_ns + rng.randint(0, 5000)
        told: list[list[Ended]] = [engine.advance(until_ns, each) for engine in made]
        assert all(other == told[0] for other in told), f"seed {seed}"
        assert len({engine.now_ns for engine in made}) == 1, f"seed {seed}"
        going -= {ended.chip for ended in told[0] if ended.is_last}
    for engine in made:
        while engine.next_ns() is not None:
            engine.advance(None)
    counts = [engine.counts() for engine in made]
    for other in counts[1:]:
        _assert_alike(counts[0], other, f"seed {seed}")


def _assert_alike(one: Any, other: Any, where: str) -> None:
    for name, value in vars(one).items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, getattr(other, name)), f"{where}: {name}"
        else:
            _assert_alike(value, getattr(other, name), f"{where}: {name}")


@needs_library
@pytest.mark.parametrize("first", range(0, 90, 30))
def test_both_say_the_same(first: int) -> None:
    for seed in range(first, first + 30):
        play(seed, [PlainEngine, FoldEngine])


@needs_library
@pytest.mark.parametrize("first", range(1000, 1150, 30))
def test_both_say_the_same_beside_others(first: int) -> None:
    for seed in range(first, first + 30):
        play(seed, [PlainEngine, FoldEngine], others=3)
