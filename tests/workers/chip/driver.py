"""A chip's loop around a scheduler, beside a memory that remembers what was written where.

The memory keeps, for each slot of each block, the whole prefix that its KV was computed from.
Before a token is computed, every slot before it must hold exactly that token's own prefix: a block
that was lost, stale, overwritten, shared wrongly or freed too early shows at once. Tokens come from
a function of the prefix, so each finished sequence has one right answer, however often it was
chunked, preempted, received or helped by the cache.
"""

from collections.abc import Iterable

from hypothesis import strategies as st

from workers.chip.scheduler import Scheduler
from workers.chip.sequence import ELSEWHERE, Sequence, State
from workers.chip.step import Step
from workers.kv.blocks import BlockManager

SIZE = 2
Slot = tuple[object, ...]
PROMPTS = st.lists(st.integers(0, 1), min_size=1, max_size=9)


def next_token(tokens: Iterable[int]) -> int:
    """What greedy decoding of a model might say: depends on the whole prefix, and repeats a lot."""
    value = 7
    for token in tokens:
        value = (value * 31 + token + 1) % 1009
    return value % 3


def reference(prompt: list[int], num_outputs: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(num_outputs):
        tokens.append(next_token(tokens))
    return tokens[len(prompt) :]


class Memory:
    """Slots of KV blocks: (block, offset) -> the prefix whose KV lies there."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.slots: dict[tuple[int, int], Slot] = {}
        self.approximate: dict[str, int] = {}
        self.far: dict[str, list[Slot | None]] = {}

    def value(self, seq: Sequence, position: int) -> Slot:
        value: Slot = (seq.salt, *seq.token_ids[: position + 1])
        if position >= self.approximate.get(seq.seq_id, 1 << 30):
            value = (*value, "approximate", seq.seq_id)
        return value

    def write(self, seq: Sequence, block_ids: list[int], start: int, count: int) -> None:
        for p in range(start, start + count):
            slot = (block_ids[p // self.block_size], p % self.block_size)
            self.slots[slot] = self.value(seq, p)

    def give_away(self, seq: Sequence, num_blocks: int) -> None:
        """A memory server has copies of its first blocks, as they are."""
        known = self.far[seq.seq_id][: seq.num_far * self.block_size] if seq.num_far else []
        slots = range(len(known), num_blocks * self.block_size)
        self.far[seq.seq_id] = known + [self._slot(seq.block_ids, p) for p in slots]

    def check(self, seq: Sequence, block_ids: list[int], end: int) -> None:
        for p in range(end):
            is_far = block_ids[p // self.block_size] == ELSEWHERE
            found = self.far[seq.seq_id][p] if is_far else self._slot(block_ids, p)
            assert found == self.value(seq, p), (seq, p, found)

    def _slot(self, block_ids: list[int], position: int) -> Slot | None:
        index, offset = divmod(position, self.block_size)
        return self.slots.get((block_ids[index], offset))


class Chip:
    """Drives a scheduler as a chip does, with a Memory for KV."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.memory = Memory(scheduler.blocks.block_size)
        self.step: Step | None = None
        self.tables: list[list[int]] = []
        self.preempted: list[str] = []

    def launch(self) -> Step | None:
        """Schedule; the kernel gets its block tables now, as they are."""
        self.step = self.scheduler.schedule()
        if self.step is None:
            return None
        step = self.step
        self.preempted += step.preempted
        self.tables = [list(item.seq.block_ids) for item in step.items]
        assert step.items
        assert step.num_tokens == sum(item.count for item in step.items)
        assert step.num_tokens <= self.scheduler.roster.max_num_batched_tokens
        assert len(step.items) <= self.scheduler.roster.max_num_seqs
        assert len({item.seq.seq_id for item in step.items}) == len(step.items)
        for item in step.items:
            assert item.start == item.seq.num_computed
            assert item.count >= 1
            assert item.samples == (item.start + item.count == item.seq.num_tokens)
        return step

    def compute(self) -> dict[str, int]:
        """The kernel runs late: it writes even for sequences that went away meanwhile."""
        assert self.step is not None
        for item, table in zip(self.step.items, self.tables, strict=True):
            seq = item.seq
            for p in range(item.start, item.start + item.count):
                block_id = table[p // SIZE]
                if seq.state is State.RUNNING:
                    assert self.scheduler.blocks.hash_of(block_id) is None, "written while findable"
                    assert self.scheduler.blocks.references(block_id) == 1, "written while shared"
            self.memory.write(seq, table, item.start, item.count)
            if seq.state is State.RUNNING:
                self.memory.check(seq, table, item.start + item.count)
        return {i.seq.seq_id: next_token(i.seq.token_ids) for i in self.step.items if i.samples}

    def land(self, tokens: dict[str, int]) -> tuple[Sequence, ...]:
        assert self.step is not None
        step, self.step = self.step, None
        return self.scheduler.advance(step, tokens)

    def turn(self) -> Step | None:
        """One whole step; what has ended is finished."""
        step = self.launch()
        if step is not None:
            for seq in self.land(self.compute()):
                self.scheduler.finish(seq.seq_id)
            self.scheduler.check_integrity()
        return step

    def run(self, limit: int = 10_000) -> list[Step]:
        """Until idle; fails if that takes more than `limit` steps."""
        steps: list[Step] = []
        while (step := self.turn()) is not None:
            steps.append(step)
            assert len(steps) < limit, "no end in sight"
        return steps


def chip_with(
    num_blocks: int = 16,
    *,
    caching: bool = True,
    seqs: int = 4,
    budget: int = 8,
    model_len: int = 1000,
    watermark: int | None = None,
) -> Chip:
    return Chip(
        Scheduler(
            BlockManager(num_blocks, SIZE, caching),
            max_num_seqs=seqs,
            max_num_batched_tokens=budget,
            max_model_len=model_len,
            watermark_blocks=watermark,
        )
    )


def shape(step: Step | None) -> list[tuple[str, int, int, bool]]:
    assert step is not None
    return [(i.seq.seq_id, i.start, i.count, i.samples) for i in step.items]
