"""Groups of ranks for tests, and tokens for them."""

import json
import mmap
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

import kernels
from kernels.all_to_all import AllToAll, Geometry, Handle, Tokens, UcxAllToAll
from kernels.all_to_all.rank import Rank
from kernels.all_to_all.ref import NOBODY
from tests.kernels.data import normal

ROOT = Path(kernels.__file__).resolve().parents[1]
SECRET = b"of these tests alone"
SECOND_NS = 1_000_000_000
# Far longer than anything takes, so that a slow machine fails no test.
LONG_NS = 60 * SECOND_NS
SHORT_NS = 2_000_000
NEEDS_LIBUCX = pytest.mark.skipif(
    find_spec("libucx") is None, reason="needs the extra ucx: pip install 'perfuse[ucx]'"
)
R = TypeVar("R", bound=Rank)
EXACT = {"send": "fp32", "back": "fp64"}


def geometry(**changes: Any) -> Geometry:
    sizes: dict[str, Any] = {
        "world": 2,
        "capacity": 16,
        "hidden": 200,
        "num_experts": 8,
        "experts_per_token": 3,
    }
    return Geometry(**sizes | changes)


@contextmanager
def attached(ranks: list[R]) -> Iterator[list[R]]:
    """Each to all others; closed at the end."""
    rank: Any
    other: Any
    try:
        for rank in ranks:
            for other in ranks:
                if other is not rank:
                    rank.attach(other.address)
        yield ranks
    finally:
        for rank in ranks:
            rank.close()


def group(sizes: Geometry, **options: Any) -> AbstractContextManager[list[AllToAll]]:
    """All ranks in this process, each attached to all others."""
    return attached([AllToAll(sizes, rank, SECRET, **options) for rank in range(sizes.world)])


def far_group(sizes: Geometry, **options: Any) -> AbstractContextManager[list[UcxAllToAll]]:
    """The same over UCX."""
    return attached([UcxAllToAll(sizes, rank, SECRET, **options) for rank in range(sizes.world)])


def owners(sizes: Geometry) -> np.ndarray:
    """Experts in contiguous parts, as even as can be."""
    ids = np.arange(sizes.num_experts) * sizes.world // sizes.num_experts
    return np.array([*ids, NOBODY], np.int32)


def tokens(rng: np.random.Generator, sizes: Geometry, count: int) -> Tokens:
    """Random tokens; some ask for nobody."""
    shape = (count, sizes.experts_per_token)
    return Tokens(
        rng.integers(0, 2**64, count, dtype=np.uint64),
        rng.integers(0, 1000, count),
        rng.integers(NOBODY, sizes.num_experts, shape).astype(np.int32),
        normal(rng, *shape),
        normal(rng, count, sizes.hidden),
    )


def send(
    rank: Rank, given: Tokens, tag: int = 0, timeout_ns: int = LONG_NS, **options: Any
) -> Handle:
    return rank.dispatch_send(given, owners(rank.geometry), timeout_ns, tag, **options)


def for_both(rng: np.random.Generator, sizes: Geometry, count: int) -> Tokens:
    """Tokens that go to both ranks."""
    given = tokens(rng, sizes, count)
    given.experts_TK[:] = [[0, 7, -1]] * count
    return given


def memory_of(rank: AllToAll) -> mmap.mmap:
    """A rank's arena as a peer has it: to write what it likes."""
    file = int(rank.address.rsplit(":", 1)[1])
    return mmap.mmap(file, rank.geometry.layout().arena)


class Child:
    """A rank in a process of its own, driven line by line."""

    def __init__(self, job: str, rank: int, sizes: Geometry, epoch: int = 1, **more: Any) -> None:
        numbers = [int(number) for number in sizes.numbers()]
        task = {"rank": rank, "geometry": numbers, "epoch": epoch} | more
        command = [sys.executable, "-m", "tests.kernels.all_to_all.child", job, json.dumps(task)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address: str = self.hear()

    def say(self, word: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(word) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the child ended with {self.process.wait()}"
        return json.loads(line)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Lets it end by itself, if it has not."""
        with self.process:
            if self.process.stdin is not None and not self.process.stdin.closed:
                self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()


@contextmanager
def children(job: str, sizes: Geometry, **more: Any) -> Iterator[list[Child]]:
    """One for each rank, attached to each other and begun."""
    started: list[Child] = []
    try:
        started += [Child(job, rank, sizes, **more) for rank in range(sizes.world)]
        for child in started:
            child.say([other.address for other in started])
        yield started
    finally:
        for child in started:
            child.end()
