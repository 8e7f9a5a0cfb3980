"""A solver that was saved in the middle goes on as the one that was not."""

import random
from typing import Any

import numpy as np
import pytest

from kernels import paths as native
from kernels.native import lib
from workers.hardware.sharing.fast_paths import FastPaths, ManyPaths, paths_of
from workers.hardware.sharing.hops import PathFlow, nobody
from workers.hardware.sharing.paths import Paths

RATES = {"a": 10**9, "b": 3 * 10**8, "c": 50 * 10**9, "d": 70_000_000, "e": 10**9}
KINDS = [Paths] + ([FastPaths] if native.available else [])


def flow(rng: random.Random, tag: int, most_rank: int) -> PathFlow:
    path = tuple(rng.sample(sorted(RATES), rng.randint(1, 4)))
    limit = rng.choice([None, None, 10**8])
    rank = rng.randint(0, most_rank)
    one = PathFlow(nobody, rng.randint(0, 10**6), path, limit, rng.randint(1, 4), rank)
    one.tag = tag
    return one


def played(kind: Any, seed: int, *, is_saved: bool, most_rank: int = 0) -> list[Any]:
    """Ends by tag, and what each resource did; saved and loaded before each join."""
    rng, paths, told, now_ns = random.Random(seed), kind(RATES), list[Any](), 0
    for tag in range(30):
        now_ns += rng.choice([0, 1, rng.randint(0, 10**6)])
        told += [(one.tag, one.end_ns) for one in paths.advance(now_ns)]
        if is_saved:
            paths = paths_of(paths.saved())
        paths.join(now_ns, flow(rng, tag, most_rank))
    while (end_ns := paths.next_end_ns) is not None:
        told += [(one.tag, one.end_ns) for one in paths.advance(end_ns)]
    assert paths.now_ns >= now_ns
    return told + [(n, paths.busy_ns(n), paths.served(n), paths.peak(n)) for n in sorted(RATES)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_goes_on_alike(kind: type[ManyPaths]) -> None:
    for seed in range(60):
        assert played(kind, seed, is_saved=True) == played(kind, seed, is_saved=False)


def test_ranks_are_saved() -> None:
    for seed in range(20):
        whole = played(Paths, seed, is_saved=False, most_rank=2)
        for kind in KINDS:
            assert played(kind, seed, is_saved=True, most_rank=2) == whole


@pytest.mark.skipif(not native.available, reason="the native library is not built")
def test_bytes_that_nobody_saved_are_refused() -> None:
    """Cut short, with more behind, and with each byte another: never more than a ValueError."""
    paths = FastPaths(RATES)
    for tag in range(4):
        paths.join(0, flow(random.Random(tag), tag, 0))
    saved = np.frombuffer(paths.saved()[0], np.uint8)
    for wrong in (saved[:0], saved[:-1], np.append(saved, np.uint8(0))):
        with pytest.raises(ValueError, match="saved"):
            lib.paths_load(wrong)
    rng = random.Random(0)
    for at in range(len(saved)):
        changed = saved.copy()
        changed[at] = rng.randrange(256)
        try:
            found = lib.paths_load(changed)
        except ValueError:
            continue
        lib.paths_hop(found, 0, 0)
