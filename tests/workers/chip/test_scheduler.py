"""A scheduler under any order of calls at all, also in the middle of a step."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.workers.chip.driver import PROMPTS, SIZE, chip_with, next_token, reference
from workers.chip.sequence import Sequence, State
from workers.kv.blocks import Adoption


class SchedulerMachine(RuleBasedStateMachine):
    """Any order of calls, also in the middle of a step; at the end everything drains to nothing."""

    @initialize(
        num_blocks=st.integers(2, 12),
        seqs=st.integers(1, 4),
        more=st.integers(0, 6),
        model_len=st.integers(4, 30),
        caching=st.booleans(),
        watermark=st.none() | st.integers(0, 3),
    )
    def start(
        self,
        num_blocks: int,
        seqs: int,
        more: int,
        model_len: int,
        caching: bool,
        watermark: int | None,
    ) -> None:
        self.chip = chip_with(
            num_blocks,
            caching=caching,
            seqs=seqs,
            budget=seqs + more,
            model_len=model_len,
            watermark=watermark,
        )
        self.scheduler = self.chip.scheduler
        self.limit = min(model_len, num_blocks * SIZE)
        self.seqs: dict[str, Sequence] = {}
        self.fetches: list[tuple[Sequence, Adoption]] = []
        self.count = 0

    def in_state(self, *states: State) -> list[str]:
        return [i for i, s in self.seqs.items() if s.state in states and self.scheduler.get(i)]

    def new(self, prompt: list[int], max_tokens: int, salted: bool) -> Sequence:
        self.count += 1
        seq = Sequence(f"s{self.count}", prompt, max_tokens, salt=b"x" if salted else b"")
        self.seqs[seq.seq_id] = seq
        return seq

    @rule(prompt=PROMPTS, max_tokens=st.integers(1, 9), salted=st.booleans())
    def add(self, prompt: list[int], max_tokens: int, salted: bool) -> None:
        seq = self.new(prompt, max_tokens, salted)
        if len(prompt) + 1 > self.limit:
            with pytest.raises(ValueError, match="room for one more"):
                self.scheduler.add(seq)
            return
        self.scheduler.add(seq)

    @rule(prompt=PROMPTS, max_tokens=st.integers(1, 9), part=st.none() | st.integers(0, 9))
    def reserve(self, prompt: list[int], max_tokens: int, part: int | None) -> None:
        seq = self.new(prompt, max_tokens, False)
        free = self.scheduler.blocks.num_free
        if len(prompt) + 1 > self.limit:
            with pytest.raises(ValueError, match="room for one more"):
                self.scheduler.reserve(seq)
            return
        if part is not None and part > len(prompt):
            with pytest.raises(ValueError, match="announced"):
                self.scheduler.reserve(seq, part)
            return
        if self.scheduler.reserve(seq, part):
            assert seq.state is State.RECEIVING
            assert len(seq.block_ids) * SIZE >= len(prompt) + 1
            self.chip.memory.check(seq, seq.block_ids, seq.num_cached)
        else:
            assert free == self.scheduler.blocks.num_free
            assert self.scheduler.get(seq.seq_id) is None

    @precondition(lambda self: self.in_state(State.RECEIVING))
    @rule(data=st.data(), all_of_it=st.booleans())
    def receive(self, data: st.DataObject, all_of_it: bool) -> None:
        seq = self.seqs[data.draw(st.sampled_from(self.in_state(State.RECEIVING)))]
        arrived = seq.num_expected
        if not all_of_it:
            arrived = data.draw(st.integers(0, arrived))
        self.chip.memory.write(seq, seq.block_ids, seq.num_cached, max(0, arrived - seq.num_cached))
        first = [next_token(seq.token_ids)] if arrived == seq.num_prompt else []
        self.scheduler.received(seq.seq_id, first, arrived)

    @precondition(lambda self: self.in_state(State.RECEIVING))
    @rule(data=st.data())
    def recompute(self, data: st.DataObject) -> None:
        self.scheduler.recompute(data.draw(st.sampled_from(self.in_state(State.RECEIVING))))

    @rule(prompt=PROMPTS, num_blocks=st.none() | st.integers(0, 4))
    def fetch(self, prompt: list[int], num_blocks: int | None) -> None:
        if len(prompt) + 1 > self.limit:
            return
        seq = self.new(prompt, 3, False)
        adoption = self.scheduler.take_external(seq, num_blocks)
        if adoption is None:
            self.scheduler.add(seq)
        else:
            self.fetches.append((seq, adoption))

    @precondition(lambda self: self.fetches)
    @rule(arrived=st.integers(0, 4))
    def fetched(self, arrived: int) -> None:
        seq, adoption = self.fetches.pop()
        for i in adoption.missing:
            if i < arrived:
                self.chip.memory.write(seq, list(adoption.block_ids), i * SIZE, SIZE)
        self.scheduler.blocks.install(adoption, arrived)
        self.scheduler.add(seq)

    @precondition(lambda self: self.chip.step is None)
    @rule()
    def launch(self) -> None:
        running = self.scheduler.roster.running.values()
        oldest = min(running, key=lambda seq: seq.arrival, default=None)
        step = self.chip.launch()
        if step is None:
            assert not self.in_state(State.RUNNING)
        elif oldest is not None:  # the oldest always progresses
            assert oldest.seq_id in [item.seq.seq_id for item in step.items]

    @precondition(lambda self: self.chip.step is not None)
    @rule()
    def land(self) -> None:
        for seq in self.chip.land(self.chip.compute()):
            assert seq.state is State.HELD

    @precondition(lambda self: self.chip.step is not None)
    @rule()
    def fail(self) -> None:
        self.chip.compute()
        assert self.chip.step is not None
        self.scheduler.abandon(self.chip.step)
        self.chip.step = None

    @precondition(lambda self: self.chip.step is not None)
    @rule(data=st.data())
    def approximate(self, data: st.DataObject) -> None:
        assert self.chip.step is not None
        item = data.draw(st.sampled_from(self.chip.step.items))
        if item.seq.state is State.RUNNING:
            position = data.draw(st.integers(item.start, item.start + item.count - 1))
            self.scheduler.mark_approximate(item.seq.seq_id, position)
            self.sync_approximate()

    @precondition(lambda self: self.in_state(State.RUNNING))
    @rule(data=st.data())
    def preempt(self, data: st.DataObject) -> None:
        self.scheduler.preempt(data.draw(st.sampled_from(self.in_state(State.RUNNING))))
        self.sync_approximate()

    @precondition(lambda self: self.in_state(State.RUNNING))
    @rule(data=st.data())
    def give_away(self, data: st.DataObject) -> None:
        seq = self.seqs[data.draw(st.sampled_from(self.in_state(State.RUNNING)))]
        full = seq.num_computed // SIZE
        with pytest.raises(ValueError, match="blocks are given away"):
            self.scheduler.give_away(seq.seq_id, full + 1)
        if seq.num_far < full:
            num_far = data.draw(st.integers(seq.num_far + 1, full))
            self.chip.memory.give_away(seq, num_far)
            self.scheduler.give_away(seq.seq_id, num_far)
            assert seq.num_far == num_far

    @precondition(lambda self: self.in_state(*State))
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        seq_id = data.draw(st.sampled_from(self.in_state(*State)))
        assert self.scheduler.abort(seq_id)
        assert not self.scheduler.abort(seq_id)
        assert self.seqs[seq_id].state is State.FINISHED

    @precondition(lambda self: self.in_state(State.HELD))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        seq = self.seqs[data.draw(st.sampled_from(self.in_state(State.HELD)))]
        assert seq.output_token_ids == reference(seq.prompt_token_ids, seq.num_outputs)
        indexes = data.draw(st.lists(st.integers(0, len(seq.block_ids) - 1), min_size=1))
        before = dict(seq.held)
        freed = self.scheduler.release(seq.seq_id, indexes)
        assert freed == len(set(indexes) & set(before))
        assert (self.scheduler.get(seq.seq_id) is None) == (freed == len(before))

    @precondition(lambda self: self.in_state(State.HELD))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.scheduler.finish(data.draw(st.sampled_from(self.in_state(State.HELD))))

    def sync_approximate(self) -> None:
        self.chip.memory.approximate = {
            i: s.approximate_from for i, s in self.seqs.items() if s.approximate_from is not None
        }

    @invariant()
    def whole(self) -> None:
        self.sync_approximate()
        self.scheduler.check_integrity()
        for seq in self.seqs.values():
            assert seq.output_token_ids == reference(seq.prompt_token_ids, seq.num_outputs)
            if seq.state in (State.RUNNING, State.RECEIVING):
                self.chip.memory.check(seq, seq.block_ids, seq.num_computed)

    def teardown(self) -> None:
        """Liveness: without further trouble everything ends, right, and leaves nothing behind."""
        if not hasattr(self, "chip"):
            return
        if self.chip.step is not None:
            self.land()
        while self.fetches:
            self.fetched(0)
        for seq_id in self.in_state(State.RECEIVING):
            self.scheduler.recompute(seq_id)
        for seq_id in self.in_state(State.HELD):
            self.scheduler.release(seq_id)
        self.sync_approximate()
        self.chip.run(limit=2_000)
        self.scheduler.check_integrity()
        assert self.scheduler.is_idle
        blocks = self.scheduler.blocks
        assert (blocks.num_free, blocks.num_pinned) == (blocks.num_blocks, 0)


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
