"""Whatever happens, in whatever order: a replay of the events, or of any of their beginnings, gives
the state that the machine had then, and in the end nothing is held.

`PERFUSE_REPLAYS=10000 python -m pytest tests/cluster/router/machine/test_replay.py` tries more.
"""

import os
import random
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.router.journal.codec import decode, encode
from cluster.router.machine import events as of
from cluster.router.machine.actions import Action
from cluster.router.machine.chips import ChipState
from cluster.router.machine.machine import Machine
from cluster.router.machine.state import RouterState
from tests.cluster.router.machine.outside import Chance, Outside, token_at
from tests.cluster.router.machine.requests import APART, CHIPS, machine, tokenizer
from tests.cluster.router.machine.schedule import step

NUM_REPLAYS = int(os.environ.get("PERFUSE_REPLAYS", "500"))


def check_counts(state: RouterState) -> None:
    """Counted anew, chips hold what the state says, and nobody is lost between them."""
    requests: list[Any] = list(state.requests.values())
    for chip in state.chips.values():
        here = [r for r in requests if r.placement and r.placement.decode_chip == chip.name]
        before = [
            r for r in requests
            if r.placement and r.placement.prefill_chip == chip.name and r.placement.is_prefilling
        ]  # fmt: skip
        check_blocks(chip, here)
        assert chip.num_requests == len(here) + len(before)
        assert chip.queued_tokens == sum(len(r.prompt.ids) for r in before)
    placed = {r.placement.sequence_id: name for name, r in state.requests.items() if r.placement}
    assert state.sequences == placed
    waiting = [n for n, r in state.requests.items() if r.is_accepted and n not in state.line]
    assert all(state.requests[name].placement for name in waiting), "placed or in line"
    for name in state.line[1:]:
        assert state.requests[name].placement is None, "only the head may try"


def check_blocks(chip: ChipState, here: Sequence[Any]) -> None:
    """In full, or what is shared once and what is each one's own by now."""
    if chip.watermark_blocks is None:
        assert chip.blocks_taken == sum(r.prompt.blocks for r in here) <= chip.num_blocks
        return
    sharers = Counter(content for r in here for content in r.prompt.block_hashes)
    assert chip.sharers == sharers
    assert chip.blocks_taken == len(sharers) + sum(r.placement.own_blocks for r in here)
    for r in here:
        num_blocks = r.placement.own_blocks + len(r.prompt.block_hashes)
        assert r.prompt.first_blocks <= num_blocks <= r.prompt.blocks <= chip.num_blocks


class Twin:
    """A second machine that knows the first one's journal only."""

    def __init__(self, state: RouterState) -> None:
        self.live = state
        self.machine = Machine(self._read(state), tokenizer())
        self.kinds: Counter[str] = Counter()

    @staticmethod
    def _read(state: RouterState) -> RouterState:
        copy = decode(encode(state))
        assert isinstance(copy, RouterState)
        assert copy == state
        assert encode(copy) == encode(state), "also in the order of keys"
        return copy

    def happened(self, event: of.Event, actions: Sequence[Action]) -> None:
        again = decode(encode(event))
        assert again == event and not isinstance(again, RouterState)
        assert self.machine.apply(again) == actions
        assert self.machine.state == self.live
        self.kinds[type(event).__name__] += 1
        if self.kinds.total() % 16 == 0:  # as after a compaction: detokenizers are gone too
            self.machine = Machine(self._read(self.machine.state), tokenizer())
        check_counts(self.live)


def play(chance: Chance, num_steps: int) -> Counter[str]:
    """How often each kind of event happened."""
    chips = CHIPS if chance.random() < 0.5 else APART
    live = machine(chips, watermark=1 if chance.random() < 0.5 else None)
    twin = Twin(live.state)
    outside = Outside(live, twin.happened)
    for _ in range(num_steps):
        step(outside, chance)
    outside.finish()
    assert live.state.is_idle and not live.state.line and not live.state.aborts, "law 4"
    for name, reader in outside.readers.items():
        is_told = reader.last is not None or reader.is_gone
        assert is_told or not reader.is_promised, f"law 3: {name} never ended"
        assert reader.tokens == [token_at(name, i) for i in range(len(reader.tokens))], "law 1"
    return twin.kinds


@given(st.randoms(use_true_random=False), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_a_replay_of_any_beginning_gives_the_live_state(chance: Chance, num_steps: int) -> None:
    play(chance, num_steps)


@pytest.mark.timeout(3600)
def test_many_long_histories_replay_to_the_live_state() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(NUM_REPLAYS):
        kinds += play(random.Random(seed), 100)
    rarest = min(kinds[kind.__name__] for kind in of.EVENTS)
    assert rarest * 100 > NUM_REPLAYS, f"and everything happens: {kinds}"


def test_what_cannot_have_happened_raises_and_changes_nothing() -> None:
    """Events of another history thrown in: each is refused, changing nothing, or taken whole."""
    strangers: list[of.Event] = []
    other = Outside(machine(), lambda event, _: strangers.append(event))
    chance = random.Random(1)
    for _ in range(400):
        step(other, chance)
    num_refused = num_taken = 0
    for seed in range(30):
        chance, live = random.Random(seed), machine()
        outside = Outside(live, lambda event, actions: None)
        for _ in range(60):
            step(outside, chance)
            trial = Machine(deepcopy(live.state), tokenizer())
            try:
                trial.apply(strangers[chance.randrange(len(strangers))])
            except of.ImpossibleEvent:
                num_refused += 1
                assert trial.state == live.state
            else:
                num_taken += 1
                check_counts(trial.state)
    assert num_refused > 1_000 and num_taken > 100
