"""Who is on a chip, where each sequence stands and which blocks it holds.

The state that a scheduler's decisions share. A Roster decides nothing: it moves sequences from
state to state and their blocks with them, so that `check_integrity` holds between any two calls.

    waiting, preempted   in `waiting`     no blocks; in order of arrival
    receiving            in `receiving`   blocks for all its tokens and one more
    running              in `running`     blocks for all its tokens
    held                 in `held`        those blocks that were not released yet
    (gone)               nowhere          `_free_later`, if the step in flight may still write them
"""

from collections import Counter, OrderedDict
from collections.abc import Callable

from workers.chip.elsewhere import Elsewhere, Nowhere
from workers.chip.sequence import ELSEWHERE, Sequence, State
from workers.chip.step import Step
from workers.kv.blocks import BlockManager
from workers.kv.windowed import WindowedBlocks


class Roster:
    """The chip's sequences and the step in flight, over one chip's blocks."""

    def __init__(
        self,
        blocks: BlockManager,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        max_model_len: int,
        watermark_blocks: int | None = None,
        max_steps: int = 1,
        holds_slots: bool = False,
    ) -> None:
        if not 1 <= max_num_seqs <= max_num_batched_tokens:
            raise ValueError(
                f"max_num_seqs is {max_num_seqs}, max_num_batched_tokens {max_num_batched_tokens}: "
                "1 <= max_num_seqs <= max_num_batched_tokens must hold, or decoding ones starve"
            )
        if max_model_len < 2:
            raise ValueError(f"max_model_len is {max_model_len}: it must be at least 2")
        self.blocks = blocks
        self.max_num_seqs, self.holds_slots = max_num_seqs, holds_slots
        self.max_num_batched_tokens, self.max_model_len = max_num_batched_tokens, max_model_len
        self.watermark_blocks, self.max_steps = watermark_blocks, max_steps
        self.max_tokens = min(max_model_len, blocks.num_blocks * blocks.block_size)
        self.num_preemptions = self.num_prefix_queries = self.num_prefix_hits = 0
        self.waiting: OrderedDict[str, Sequence] = OrderedDict()  # head is next
        self.receiving: OrderedDict[str, Sequence] = OrderedDict()
        self.running: OrderedDict[str, Sequence] = OrderedDict()  # in order of admission
        self.held: OrderedDict[str, Sequence] = OrderedDict()
        self.preempted: list[str] = []  # not reported yet
        self.steps: list[Step] = []  # in flight, in order
        self.elsewhere: Elsewhere = Nowhere()
        self._places = {
            State.WAITING: self.waiting,
            State.RECEIVING: self.receiving,
            State.RUNNING: self.running,
            State.PREEMPTED: self.waiting,
            State.HELD: self.held,
        }
        self._all, self._num_arrivals = dict[str, Sequence](), 0
        self._free_later: list[tuple[Step, list[int], int]] = []
        self.on_let_go: Callable[[Sequence], None] = lambda _: None  # its blocks elsewhere, too
        self.on_distrusted: Callable[[list[bytes]], None] = lambda _: None  # content hashes

    @property
    def num_slots(self) -> int:  # taken of max_num_seqs
        here = len(self.running) + len(self.receiving)
        return here + len(self.held) * self.holds_slots

    def get(self, seq_id: str) -> Sequence | None:
        return self._all.get(seq_id)

    def known(self, seq_id: str, *states: State) -> Sequence:
        """The sequence; raises ValueError unless it is here, in one of these states."""
        seq = self._all.get(seq_id)
        if seq is None or seq.state not in states:
            wanted = " or ".join(s.value for s in states)
            found = "unknown" if seq is None else seq.state.value
            raise ValueError(f"sequence {seq_id!r} is {found}: it must be {wanted}")
        return seq

    def join(self, seq: Sequence) -> None:
        """A new sequence, at the end of the queue."""
        self.hash(seq)
        seq.arrival = self._num_arrivals
        self._num_arrivals += 1
        self._all[seq.seq_id] = seq
        self.waiting[seq.seq_id] = seq
        self.elsewhere.asked(seq)

    def move(self, seq: Sequence, state: State) -> None:
        """Last in its new place; but in the queue before all that came later than it did."""
        place = self._places[seq.state]
        seq.move(state)
        del place[seq.seq_id]
        if state is State.FINISHED:
            del self._all[seq.seq_id]
            return
        self._places[state][seq.seq_id] = seq
        if self._places[state] is self.waiting:
            for later in [s for s in self.waiting.values() if s.arrival > seq.arrival]:
                self.waiting.move_to_end(later.seq_id)

    def preempt(self, seq: Sequence) -> None:
        self.hash(seq)
        self.elsewhere.lost(seq)
        self.move(seq, State.PREEMPTED)
        self.let_go(seq)
        self.preempted.append(seq.seq_id)
        self.num_preemptions += 1

    def remove(self, seq: Sequence) -> None:
        self.let_go(seq)
        self.move(seq, State.FINISHED)

    def at_end(self, seq: Sequence) -> bool:
        """It has all its outputs, or there is no room for one more."""
        return seq.num_outputs >= seq.max_tokens or seq.num_tokens >= self.max_tokens

    def hash(self, seq: Sequence) -> None:
        """Name its full blocks by their content, as far as its tokens go by now."""
        seq.block_size = self.blocks.block_size
        self.blocks.extend_hashes(seq.block_hashes, seq.token_ids, seq.salt)

    def commit(self, seq: Sequence, start: int) -> None:
        """Full exact blocks that end after position `start` become findable."""
        size = self.blocks.block_size
        full = range(start // size, seq.num_exact_computed() // size)
        if not full:
            return
        self.hash(seq)
        for index in full:
            self.blocks.commit(seq.block_ids[index], seq.block_hashes[index])

    def let_go(self, seq: Sequence) -> None:
        """Free all its blocks: now, or after a step in flight that may be writing them."""
        if seq.state is State.HELD:
            self._free(seq, list(seq.held.values()), sum(i < seq.num_slid for i in seq.held))
        else:
            self._free(seq, seq.own_blocks, seq.num_slid)
        self.on_let_go(seq)
        seq.block_ids = []
        seq.num_far = seq.num_slid = 0
        seq.held = {}
        seq.num_computed = 0
        seq.approximate_from = None

    def distrust(self, seq: Sequence) -> None:
        """Nobody finds its blocks any more, nor what they hold elsewhere."""
        known = [self.blocks.hash_of(block_id) for block_id in seq.own_blocks]
        self.blocks.invalidate(seq.own_blocks)
        self.on_distrusted([content for content in known if content is not None])

    def give_away(self, seq: Sequence, num_far: int) -> None:
        """Its first blocks, up to `num_far`, lie with memory servers from now on."""
        given = seq.block_ids[seq.num_far : num_far]
        seq.block_ids[seq.num_far : num_far] = [ELSEWHERE] * len(given)
        seq.num_far += len(given)
        self._free(seq, given, 0)

    def num_behind(self, num_tokens: int) -> int:
        """Leading blocks behind every window once so many tokens are computed."""
        blocks = self.blocks
        if not isinstance(blocks, WindowedBlocks):
            return 0
        return blocks.sliding.num_thin(num_tokens, blocks.block_size)

    def slide(self, seq: Sequence, num_behind: int) -> None:
        """A sequence needs no windowed layer of so many leading blocks any more."""
        if isinstance(self.blocks, WindowedBlocks) and num_behind > seq.num_slid:
            self.blocks.slide(seq.block_ids[seq.num_slid : num_behind])
            seq.num_slid = num_behind

    def free(self, block_ids: list[int], num_slid: int) -> None:
        """Of a sequence, which has slid past the first `num_slid` of them."""
        self.blocks.free(block_ids[num_slid:])
        if isinstance(self.blocks, WindowedBlocks):
            self.blocks.free_slid(block_ids[:num_slid])

    def _free(self, seq: Sequence, block_ids: list[int], num_slid: int) -> None:
        """Now, or after the step that it is in, which may read or write them."""
        step = self.step_of(seq)
        if step is not None:
            self._free_later.append((step, block_ids, num_slid))
        else:
            self.free(block_ids, num_slid)

    # -- steps in flight -------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        return not self._all and not self.steps

    def step_of(self, seq: Sequence) -> Step | None:
        """The step in flight that a sequence is in: there is one at most."""
        return next((s for s in self.steps if any(i.seq is seq for i in s.items)), None)

    def is_in_flight(self, seq: Sequence) -> bool:
        return self.step_of(seq) is not None

    def end_step(self, step: Step) -> None:
        """Raises ValueError, changing nothing, for a step that is not in flight."""
        self.check_in_flight(step)
        self.steps = [other for other in self.steps if other is not step]
        ended = [each for each in self._free_later if each[0] is step]
        self._free_later = [each for each in self._free_later if each[0] is not step]
        for _, block_ids, num_slid in ended:
            self.free(block_ids, num_slid)

    def check_in_flight(self, step: Step) -> None:
        if not any(step is other for other in self.steps):
            raise ValueError(f"not the step in flight, which is {self.steps or None!r}")

    def check_integrity(self) -> None:
        """Assert that sequences, places and blocks agree; what fails prints the whole sum."""
        seqs = list(self._all.values())
        total = f"{seqs}, waiting {list(self.waiting)}, running {list(self.running)}"
        placed = [s for p in (self.waiting, self.receiving, self.running, self.held) for s in p]
        assert sorted(placed) == sorted(self._all), total
        arrivals = [seq.arrival for seq in self.waiting.values()]
        assert arrivals == sorted(arrivals), total
        assert all(self._places[s.state].get(s.seq_id) is s for s in seqs), total
        assert self.num_slots <= self.max_num_seqs, total
        assert all(each[0] in self.steps for each in self._free_later), total
        assert len(self.steps) <= self.max_steps, total
        flying = Counter(item.seq.seq_id for step in self.steps for item in step.items)
        assert all(count == 1 for count in flying.values()), total
        owners = Counter[int]()
        for seq in seqs:
            self._check_sequence(seq)
            owners.update(seq.held.values() if seq.state is State.HELD else seq.own_blocks)
        for _, block_ids, _ in self._free_later:
            owners.update(block_ids)
        self.blocks.check_integrity(owners)

    def _check_sequence(self, seq: Sequence) -> None:
        room = len(seq.block_ids) * self.blocks.block_size
        assert seq.num_tokens <= self.max_tokens, seq
        assert 0 <= seq.num_computed <= room, seq
        if seq.state in (State.WAITING, State.PREEMPTED):
            assert not seq.block_ids, seq
            assert not seq.num_computed, seq
        else:
            assert seq.block_ids, seq
        if seq.state is State.RUNNING:
            assert seq.num_computed < seq.num_tokens, seq
            assert seq.num_tokens <= room or seq.num_tokens - seq.num_computed == 1, seq
