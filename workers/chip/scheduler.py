"""Which tokens a chip computes next: continuous batching, chunked prefill, preemption.

After vLLM V1 there is no prefill phase and no decode phase. A sequence has `num_tokens` tokens, of
which `num_computed` have their KV in the cache; a step computes some more of them; where it reaches
the last one, the logits are sampled and the sequence has one token more. The rules:

1. A running sequence holds blocks for all its tokens, so only a sequence that decodes ever needs
   another block.
2. A step serves first what has one token to compute (decode), then unfinished prefills, then the
   head of the queue: in order of admission, as far as `max_num_batched_tokens` goes. max_num_seqs
   <= max_num_batched_tokens, so each decoding sequence is in each step.
3. Who needs a block and finds none preempts the most recently admitted running sequence, itself in
   the end. The victim loses its blocks (findable in the prefix cache until evicted) and goes to the
   front of the queue.
4. The queue is first come, first served: whoever does not fit lets nobody pass. No step both
   preempts and admits, and an admission leaves one free block for each running sequence: else it is
   preempted at their next block.

Progress: the oldest running sequence is preempted by nobody else, and by itself only while blocks
are received, held or pinned for others; those end by events from outside. A sequence stops (state
held) when it fills the cache or the model's context, so what was accepted always fits alone. Hence
the oldest finishes, then the next.

A step is in flight between `schedule` and `advance` (or `abandon`). Blocks of a sequence that goes
away meanwhile are freed only then: the kernel may still write them.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from workers.chip.sequence import Sequence, State
from workers.kv.blocks import Adoption, BlockManager


@dataclass(frozen=True, slots=True)
class Item:
    """Compute tokens start .. start + count - 1 of `seq`.

    samples   its last token is among them, so logits are wanted
    """

    seq: Sequence
    start: int
    count: int
    samples: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One batch, never empty. preempted: ids that lost their blocks since the step before."""

    items: tuple[Item, ...]
    preempted: tuple[str, ...]
    num_tokens: int


class Scheduler:
    """Pure policy over one chip's blocks: no IO, no time, no chance. Same calls, same answers."""

    def __init__(
        self,
        blocks: BlockManager,
        *,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        max_model_len: int,
    ) -> None:
        """max_num_seqs bounds running plus receiving; max_num_batched_tokens is a step's budget."""
        if not 1 <= max_num_seqs <= max_num_batched_tokens:
            raise ValueError(
                f"max_num_seqs is {max_num_seqs}, max_num_batched_tokens {max_num_batched_tokens}: "
                "1 <= max_num_seqs <= max_num_batched_tokens must hold, or decoding ones starve"
            )
        if max_model_len < 2:
            raise ValueError(f"max_model_len is {max_model_len}: it must be at least 2")
        self.blocks = blocks
        self.max_num_seqs = max_num_seqs
        self.max_num_batched_tokens = max_num_batched_tokens
        self.max_model_len = max_model_len
        self.num_preemptions = 0
        self.num_prefix_queries = 0  # tokens looked up in the prefix cache
        self.num_prefix_hits = 0  # of these, tokens found
        self._max_tokens = min(max_model_len, blocks.num_blocks * blocks.block_size)
        self._all: dict[str, Sequence] = {}
        self._waiting: OrderedDict[str, Sequence] = OrderedDict()  # head is next
        self._running: OrderedDict[str, Sequence] = OrderedDict()  # in order of admission
        self._num_receiving = 0
        self._num_held = 0
        self._num_arrivals = 0
        self._preempted: list[str] = []  # not reported yet
        self._step: Step | None = None
        self._free_later: list[
            list[int]
        ] = []  # of sequences that left while their step is in flight

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """In the queue, preempted ones included."""
        return len(self._waiting)

    @property
    def num_receiving(self) -> int:
        return self._num_receiving

    @property
    def num_held(self) -> int:
        return self._num_held

    @property
    def is_idle(self) -> bool:
        """Nothing waits, runs, receives or is held, and no step is in flight."""
        return not self._all and self._step is None

    def get(self, seq_id: str) -> Sequence | None:
        """The sequence, unless it is unknown or finished."""
        return self._all.get(seq_id)

    # -- how sequences come ----------------------------------------------------------------------

    def add(self, seq: Sequence) -> None:
        """Join the end of the queue. Raises ValueError if it is not new, or can never fit."""
        self._accept(seq)
        self._waiting[seq.seq_id] = seq

    def reserve(self, seq: Sequence, num_tokens: int | None = None) -> bool:
        """Make room for `seq`; KV of its first `num_tokens` tokens is to come. State receiving.

        None means all that can be here: the prompt, or all but the last token where outputs exist
        already. It holds blocks for all its tokens and one more. The first `seq.num_cached` tokens
        are here already, in shared blocks: their KV need not be sent, and must not be written.
        False, changing nothing, when there is no slot or no room (rule 4), or while others wait:
        they came first. Raises ValueError as `add` does, or for a `num_tokens` that cannot be.
        """
        self._check_fits(seq)
        most = max(seq.num_prompt, seq.num_tokens - 1)
        expected = most if num_tokens is None else num_tokens
        if not 0 <= expected <= most:
            raise ValueError(
                f"sequence {seq.seq_id!r}: KV of {num_tokens} tokens announced, not 0 to {most}"
            )
        if self._waiting or not self._has_slot():
            return False
        if not self._allocate(seq, seq.num_tokens + 1, most, spare=self.num_running):
            return False
        self._accept(seq)
        seq.num_cached = seq.num_computed
        seq.num_expected = expected
        seq.move(State.RECEIVING)
        self._num_receiving += 1
        return True

    def received(
        self, seq_id: str, tokens: Iterable[int] = (), num_tokens: int | None = None
    ) -> None:
        """Its KV is in its blocks: it runs from the next step on. Legal during a step too.

        tokens       output tokens sampled elsewhere: after a prefill, the first one
        num_tokens   leading tokens whose KV arrived; None: all announced. It computes the rest
                     itself (and queues up for that, should the prefix cache alone have had it
                     all, as its last block is shared).
        Raises ValueError, changing nothing, if it is not receiving, or if the numbers contradict
        each other.
        """
        seq = self._known(seq_id, State.RECEIVING)
        arrived = seq.num_expected if num_tokens is None else num_tokens
        new_tokens = list(tokens)
        if not 0 <= arrived <= seq.num_expected:
            raise ValueError(
                f"sequence {seq_id!r}: KV of {arrived} tokens arrived, {seq.num_expected} announced"
            )
        total = seq.num_tokens + len(new_tokens)
        if total > self._max_tokens or seq.num_outputs + len(new_tokens) > seq.max_tokens:
            raise ValueError(
                f"sequence {seq_id!r}: {len(new_tokens)} more output tokens make {total}; at "
                f"most {self._max_tokens} fit, and {seq.max_tokens} outputs are wanted"
            )
        if arrived >= total:
            raise ValueError(
                f"sequence {seq_id!r}: the KV of all its {total} tokens is here: "
                "none is left to compute; pass the token that was sampled after them"
            )
        seq.token_ids.extend(new_tokens)
        if seq.num_computed >= total:
            self.recompute(seq_id)
            return
        seq.num_computed = max(arrived, seq.num_computed)
        self._commit(seq, 0)
        seq.move(State.RUNNING)
        self._num_receiving -= 1
        self._running[seq_id] = seq
        grown = self.blocks.blocks_for(seq.num_tokens) <= len(seq.block_ids)
        if self._at_end(seq):
            self.hold(seq_id)
        elif not grown and not self.blocks.append(seq.block_ids, seq.num_tokens):
            self.preempt(seq_id)  # several tokens came at once, and rule 1 cannot be kept

    def recompute(self, seq_id: str) -> None:
        """Its KV will not come (the source died): it frees what it reserved, and queues up."""
        seq = self._known(seq_id, State.RECEIVING)
        seq.move(State.WAITING)
        self._num_receiving -= 1
        self._let_go(seq)
        self._waiting[seq_id] = seq

    def take_external(self, seq: Sequence, num_blocks: int | None = None) -> Adoption | None:
        """Room for the first blocks of `seq` from a memory server's pool; call it before `add`.

        Fetch the adoption's `missing` hashes, write them to their `block_ids`, then call
        `blocks.install(adoption, num_arrived)` (0 if nothing came), then `add(seq)`: it finds them
        in the prefix cache when it is admitted. None if there is nothing to fetch, or no room
        beside what runs.
        """
        if seq.state is not State.WAITING or seq.seq_id in self._all:
            raise ValueError(
                f"{seq!r} is with a scheduler already: blocks are taken for it before that"
            )
        self._hash(seq)
        hashes = seq.block_hashes[: (seq.num_tokens - 1) // self.blocks.block_size][:num_blocks]
        here = self.blocks.match(hashes)
        num_new = len(hashes) - len(here)
        if not num_new or not self.blocks.can_allocate(num_new + self.num_running, here):
            return None
        return self.blocks.adopt(hashes)

    # -- steps -----------------------------------------------------------------------------------

    def schedule(self) -> Step | None:
        """The next step, or None: nothing can run until something comes, ends or is released.

        Raises ValueError while a step is in flight.
        """
        if self._step is not None:
            raise ValueError("a step is in flight: call advance or abandon before schedule")
        items: list[Item] = []
        prefills: list[Sequence] = []
        num_preemptions = self.num_preemptions
        for seq in tuple(self._running.values()):
            if seq.state is not State.RUNNING:
                break  # victims are taken from the end: all that follow are preempted too
            if seq.num_tokens - seq.num_computed > 1:
                prefills.append(seq)
            elif self._grow(seq):
                items.append(Item(seq, seq.num_computed, 1, True))
        budget = self.max_num_batched_tokens - len(items)
        for seq in prefills:
            if seq.state is State.RUNNING and budget:
                budget -= self._give(items, seq, budget)
        if self.num_preemptions == num_preemptions:
            while budget and self._waiting and self._has_slot():
                seq = next(iter(self._waiting.values()))
                if not self._admit(seq):
                    break
                budget -= self._give(items, seq, budget)
        if not items:
            return None
        preempted = tuple(self._preempted)
        self._preempted.clear()
        self._step = Step(tuple(items), preempted, self.max_num_batched_tokens - budget)
        return self._step

    def advance(self, step: Step, tokens: Mapping[str, int]) -> tuple[Sequence, ...]:
        """The step was computed; `tokens` has the sampled token of each item that samples.

        Returns those that can go no further (max_tokens, context or cache reached): they are held
        now, until `finish` or `release`. Sequences that were aborted, finished or preempted
        meanwhile are passed over. Raises ValueError, changing nothing, for another step than the
        one in flight or for a missing token.
        """
        self._check_in_flight(step)
        live = [item for item in step.items if item.seq.state is State.RUNNING]
        missing = [i.seq.seq_id for i in live if i.samples and i.seq.seq_id not in tokens]
        if missing:
            raise ValueError(f"no sampled token for {missing}: each item that samples needs one")
        self._end_step()
        ended: list[Sequence] = []
        for item in live:
            seq = item.seq
            seq.num_computed = item.start + item.count
            if item.samples:
                seq.token_ids.append(tokens[seq.seq_id])
            self._commit(seq, item.start)
            if item.samples and self._at_end(seq):
                self.hold(seq.seq_id)
                ended.append(seq)
        return tuple(ended)

    def abandon(self, step: Step) -> None:
        """The step failed: nothing of it counts, and the same tokens are scheduled again."""
        self._check_in_flight(step)
        self._end_step()

    # -- how sequences go ------------------------------------------------------------------------

    def finish(self, seq_id: str) -> None:
        """It is done: frees its blocks, whose content stays findable.

        Raises ValueError unless it is running or held.
        """
        self._remove(self._known(seq_id, State.RUNNING, State.HELD))

    def abort(self, seq_id: str) -> bool:
        """Forget it, whatever its state; False if it is not known (any more)."""
        seq = self._all.get(seq_id)
        if seq is None:
            return False
        self._remove(seq)
        return True

    def preempt(self, seq_id: str) -> None:
        """Take a running sequence's blocks; it computes everything again, first in the queue."""
        seq = self._known(seq_id, State.RUNNING)
        seq.move(State.PREEMPTED)
        del self._running[seq_id]
        self._let_go(seq)
        self._waiting[seq_id] = seq
        self._waiting.move_to_end(seq_id, last=False)
        self._preempted.append(seq_id)
        self.num_preemptions += 1

    def hold(self, seq_id: str) -> None:
        """It runs no more, but its blocks stay until released: a peer reads them. Idempotent."""
        seq = self._known(seq_id, State.RUNNING, State.HELD)
        if seq.state is State.HELD:
            return
        if self._is_in_flight(seq):
            raise ValueError(f"sequence {seq_id!r} is in the step in flight: hold it after advance")
        seq.move(State.HELD)
        del self._running[seq_id]
        self._num_held += 1
        seq.held = dict(enumerate(seq.block_ids))

    def release(self, seq_id: str, block_indexes: Iterable[int] | None = None) -> int:
        """Let go of held blocks, by logical index (None: all); returns how many were let go now.

        An acknowledgement may come twice or late: what is released already, or an unknown sequence,
        counts 0. With its last block the sequence is finished. Raises ValueError if it is not held,
        or never had an index.
        """
        if seq_id not in self._all:
            return 0
        seq = self._known(seq_id, State.HELD)
        indexes = range(len(seq.block_ids)) if block_indexes is None else tuple(block_indexes)
        for index in indexes:
            if not 0 <= index < len(seq.block_ids):
                raise ValueError(
                    f"sequence {seq_id!r} has blocks 0 to {len(seq.block_ids) - 1}, none at {index}"
                )
        released = [seq.held.pop(i) for i in indexes if i in seq.held]
        self.blocks.free(released)
        if not seq.held:
            self._remove(seq)
        return len(released)

    def mark_approximate(self, seq_id: str, position: int) -> None:
        """KV from `position` on is approximate, so nobody else may find it.

        Call it before the `advance` or `received` that would share it.
        """
        seq = self._known(seq_id, State.RUNNING, State.RECEIVING)
        if position < seq.num_computed:
            raise ValueError(
                f"sequence {seq_id!r}: position {position} may be shared already: "
                f"{seq.num_computed} tokens are computed"
            )
        if seq.approximate_from is None or position < seq.approximate_from:
            seq.approximate_from = position

    # -- invariants ------------------------------------------------------------------------------

    def check_integrity(self) -> None:
        """Assert that sequences, queues and blocks agree; what fails prints the whole sum."""
        seqs = list(self._all.values())
        by_state = {state: [s.seq_id for s in seqs if s.state is state] for state in State}
        queued = by_state[State.WAITING] + by_state[State.PREEMPTED]
        total = f"{seqs}, waiting {list(self._waiting)}, running {list(self._running)}"
        assert sorted(queued) == sorted(self._waiting), total
        assert sorted(by_state[State.RUNNING]) == sorted(self._running), total
        assert len(by_state[State.RECEIVING]) == self._num_receiving, total
        assert len(by_state[State.HELD]) == self._num_held, total
        assert self.num_running + self.num_receiving <= self.max_num_seqs, total
        assert not by_state[State.FINISHED], total
        assert self._step is not None or not self._free_later, total
        owners: dict[int, int] = {}
        for seq in seqs:
            self._check_sequence(seq)
            mine = list(seq.held.values()) if seq.state is State.HELD else seq.block_ids
            for block_id in mine:
                owners[block_id] = owners.get(block_id, 0) + 1
        for block_ids in self._free_later:
            for block_id in block_ids:
                owners[block_id] = owners.get(block_id, 0) + 1
        self.blocks.check_integrity(owners)

    def _check_sequence(self, seq: Sequence) -> None:
        room = len(seq.block_ids) * self.blocks.block_size
        assert seq.num_tokens <= self._max_tokens, seq
        assert 0 <= seq.num_computed <= room, seq
        if seq.state in (State.WAITING, State.PREEMPTED):
            assert not seq.block_ids, seq
            assert not seq.num_computed, seq
        else:
            assert seq.block_ids, seq
        if seq.state is State.RUNNING:
            assert seq.num_computed < seq.num_tokens, seq
            assert seq.num_tokens <= room or seq.num_tokens - seq.num_computed == 1, seq

    # -- the rest is private ---------------------------------------------------------------------

    def _check_fits(self, seq: Sequence) -> None:
        if seq.num_tokens + 1 > self._max_tokens:
            raise ValueError(
                f"sequence {seq.seq_id!r} has {seq.num_tokens} tokens and needs room for one more: "
                f"max_model_len is {self.max_model_len}, and {self.blocks.num_blocks} blocks of "
                f"{self.blocks.block_size} hold {self.blocks.num_blocks * self.blocks.block_size}"
            )
        if seq.seq_id in self._all or seq.state is not State.WAITING:
            raise ValueError(f"sequence {seq.seq_id!r} is not new here (it is {seq.state.value})")

    def _accept(self, seq: Sequence) -> None:
        self._check_fits(seq)
        self._hash(seq)
        seq.arrival = self._num_arrivals
        self._num_arrivals += 1
        self._all[seq.seq_id] = seq

    def _known(self, seq_id: str, *states: State) -> Sequence:
        seq = self._all.get(seq_id)
        if seq is None or seq.state not in states:
            wanted = " or ".join(s.value for s in states)
            found = "unknown" if seq is None else seq.state.value
            raise ValueError(f"sequence {seq_id!r} is {found}: it must be {wanted}")
        return seq

    def _has_slot(self) -> bool:
        return len(self._running) + self._num_receiving < self.max_num_seqs

    def _at_end(self, seq: Sequence) -> bool:
        return seq.num_outputs >= seq.max_tokens or seq.num_tokens >= self._max_tokens

    def _hash(self, seq: Sequence) -> None:
        seq.block_size = self.blocks.block_size
        self.blocks.extend_hashes(seq.block_hashes, seq.token_ids, seq.salt)

    def _allocate(self, seq: Sequence, num_tokens: int, most_cached: int, spare: int) -> bool:
        """Blocks for `num_tokens` tokens, up to `most_cached` from the cache, `spare` left over."""
        self._hash(seq)
        hits = self.blocks.match(seq.block_hashes[: most_cached // self.blocks.block_size])
        num_new = self.blocks.blocks_for(num_tokens) - len(hits)
        if not self.blocks.can_allocate(num_new + spare, hits):
            return False
        seq.block_ids = self.blocks.allocate(num_new, hits)
        seq.num_computed = len(hits) * self.blocks.block_size
        return True

    def _admit(self, seq: Sequence) -> bool:
        """Move the head of the queue to running.

        Its last token is never taken from the cache: its logits have to be computed, and that
        would write into a shared block.
        """
        if not self._allocate(seq, seq.num_tokens, seq.num_tokens - 1, spare=self.num_running):
            return False
        if seq.state is State.WAITING:  # a preempted one asks for what it had: not a query
            seq.num_cached = seq.num_computed
            self.num_prefix_queries += seq.num_tokens
            self.num_prefix_hits += seq.num_cached
        seq.move(State.RUNNING)
        del self._waiting[seq.seq_id]
        self._running[seq.seq_id] = seq
        return True

    def _give(self, items: list[Item], seq: Sequence, budget: int) -> int:
        left = seq.num_tokens - seq.num_computed
        count = min(left, budget)
        items.append(Item(seq, seq.num_computed, count, count == left))
        return count

    def _grow(self, seq: Sequence) -> bool:
        """Room for its newest token, at the cost of the last admitted; False if that was itself."""
        while not self.blocks.append(seq.block_ids, seq.num_tokens):
            victim = next(reversed(self._running.values()))
            self.preempt(victim.seq_id)
            if victim is seq:
                return False
        return True

    def _commit(self, seq: Sequence, start: int) -> None:
        """Full exact blocks that end after position `start` become findable."""
        size = self.blocks.block_size
        first, end = start // size, seq.num_exact_computed() // size
        if first >= end:
            return
        self._hash(seq)
        for index in range(first, end):
            self.blocks.commit(seq.block_ids[index], seq.block_hashes[index])

    def _check_in_flight(self, step: Step) -> None:
        if step is not self._step:
            raise ValueError(f"not the step in flight, which is {self._step!r}")

    def _is_in_flight(self, seq: Sequence) -> bool:
        return self._step is not None and any(item.seq is seq for item in self._step.items)

    def _end_step(self) -> None:
        self._step = None
        for block_ids in self._free_later:
            self.blocks.free(block_ids)
        self._free_later.clear()

    def _let_go(self, seq: Sequence) -> None:
        """Free all its blocks: now, or after the step in flight, which may be writing them."""
        block_ids = list(seq.held.values()) if seq.state is State.HELD else seq.block_ids
        if self._is_in_flight(seq):
            self._free_later.append(block_ids)
        else:
            self.blocks.free(block_ids)
        seq.block_ids = []
        seq.held = {}
        seq.num_computed = 0
        seq.approximate_from = None

    def _remove(self, seq: Sequence) -> None:
        self._let_go(seq)
        self._waiting.pop(seq.seq_id, None)
        self._running.pop(seq.seq_id, None)
        self._num_receiving -= seq.state is State.RECEIVING
        self._num_held -= seq.state is State.HELD
        del self._all[seq.seq_id]
        seq.move(State.FINISHED)
