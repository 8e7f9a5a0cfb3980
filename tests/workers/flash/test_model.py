"""Any sequence of batches, discards, restarts, kills and power failures, against a dictionary."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from benchmarks.memory.flash_trials import NO_LOSS, FailingDisk, PowerLost
from tests.workers.flash.small import GEOMETRY, opened, page
from workers.errors import NotFound
from workers.host.rng import Rng

LOGICAL = st.integers(0, GEOMETRY.num_logical - 1)
BATCHES = st.dictionaries(LOGICAL, st.integers(0, 255), min_size=1, max_size=4)


class FlashMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.disk = FailingDisk()
        self.flash = opened(self.disk)
        self.held: dict[int, int] = {}

    @rule(batch=BATCHES)
    def write(self, batch: dict[int, int]) -> None:
        self.flash.write({logical: page(value) for logical, value in batch.items()})
        self.held |= batch

    @rule(logicals=st.sets(LOGICAL, max_size=6))
    def trim(self, logicals: set[int]) -> None:
        self.flash.trim(logicals)
        self.held = {i: value for i, value in self.held.items() if i not in logicals}

    @rule(first=LOGICAL, times=st.integers(1, 30))
    def write_often(self, first: int, times: int) -> None:
        """So that blocks are reclaimed."""
        for value in range(times):
            self.write({first: value})

    @rule()
    def restart(self) -> None:
        self.flash = opened(self.disk)
        assert not self.flash.recovered.unreadable

    @rule(
        batch=BATCHES,
        trims=st.booleans(),
        num_left=st.integers(0, 12),
        seed=st.none() | st.integers(0, 1000),
    )
    def lose_power(
        self, batch: dict[int, int], trims: bool, num_left: int, seed: int | None
    ) -> None:
        """Without a seed it is the process alone that ends."""
        before = dict(self.held)
        self.disk.num_left = num_left
        try:
            if trims:
                self.trim(set(batch))
            else:
                self.write(batch)
        except PowerLost:
            pass
        self.disk.num_left = NO_LOSS
        if seed is not None:
            self.disk.crash(Rng(seed).uniform)
        self.flash = opened(self.disk)
        after = {i: v for i, v in before.items() if i not in batch} if trims else before | batch
        if self.held == before and self.flash.held() == sorted(after):
            served = {i: self.flash.read(i) for i in sorted(after)}
            if served == {i: page(value) for i, value in after.items()}:
                self.held = after

    @invariant()
    def holds_exactly_what_it_must(self) -> None:
        assert self.flash.held() == sorted(self.held)
        for logical, value in self.held.items():
            assert self.flash.read(logical) == page(value)
        for logical in range(GEOMETRY.num_logical):
            if logical not in self.held:
                try:
                    self.flash.read(logical)
                except NotFound:
                    continue
                raise AssertionError(f"page {logical} is served and was never written")


TestFlash = FlashMachine.TestCase
TestFlash.settings = settings(max_examples=60, stateful_step_count=25)
