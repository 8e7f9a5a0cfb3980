"""Which tokens a chip computes next: continuous batching, chunked prefill, preemption.

After vLLM V1 there is no prefill phase and no decode phase. A sequence has `num_tokens` tokens, of
which `num_computed` have their KV in the cache; a step computes some more of them; where it reaches
the last one, the logits are sampled and the sequence has one token more. The rules:

1. A running sequence holds blocks for all its tokens, so only a sequence that decodes ever needs
   another block.
2. A step serves first what has one token to compute (decode), then unfinished prefills, then the
   head of the queue: in order of admission, as far as `max_num_batched_tokens` goes. max_num_seqs
   <= max_num_batched_tokens, so each decoding sequence is in each step; where several steps are in
   flight, in one of them, and each has its share of the sequences.
3. Who needs a block and finds none preempts the newest running sequence, which is the one that came
   last, itself in the end. The victim loses its blocks (findable in the prefix cache until evicted)
   and queues up before all that came later.
4. The queue is first come, first served: whoever does not fit lets nobody pass. No step both
   preempts and admits, and an admission leaves blocks free for those that are here already: else
   it is preempted at their next block. That is one for each running sequence, which hardly ever
   preempts; or `watermark_blocks`, as vLLM has it, which fills the memory and preempts more.

Progress: the oldest running sequence is preempted by nobody else, and by itself only while blocks
are received, held or pinned for others; those end by events from outside. A sequence stops (state
held) when it fills the cache or the model's context, so what was accepted always fits alone. Hence
the oldest finishes, then the next.

A step is in flight between `schedule` and `advance` (or `abandon`). Blocks of a sequence that goes
away meanwhile are freed only then: the kernel may still write them. Of several in flight each has
other sequences, and nobody is preempted (rule 3) until all of them have ended.

One state (roster) and three decisions about it, functions that keep nothing of their own:

    admission   who may come in, and with how many blocks
    transfer    KV that comes from elsewhere, and KV that others still read here
    batching    which tokens the next step computes
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Seq

from workers.chip import admission, batching, transfer
from workers.chip.roster import Roster
from workers.chip.sequence import Sequence, State
from workers.chip.step import Item, Step
from workers.errors import NotFinite
from workers.kv.blocks import Adoption, BlockManager

__all__ = ["Item", "Scheduler", "Step"]


class Scheduler:
    """Pure policy over one chip's blocks: no IO, no time, no chance. Same calls, same answers."""

    def __init__(
        self,
        blocks: BlockManager,
        *,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        max_model_len: int,
        watermark_blocks: int | None = None,
        max_steps: int = 1,
        holds_slots: bool = False,
    ) -> None:
        """max_num_seqs bounds running plus receiving (`holds_slots`: and held); watermark_blocks is
        rule 4's (None: one a running sequence); max_num_batched_tokens a step's, max_steps fly.
        """
        self.blocks = blocks
        sizes = max_num_seqs, max_num_batched_tokens, max_model_len, watermark_blocks
        self.roster = Roster(blocks, *sizes, max_steps, holds_slots)

    @property
    def is_full(self) -> bool:
        """As many steps are in flight as may be."""
        return len(self.roster.steps) >= self.roster.max_steps

    @property
    def num_running(self) -> int:
        return len(self.roster.running)

    @property
    def num_waiting(self) -> int:
        """In the queue, preempted ones included."""
        return len(self.roster.waiting)

    @property
    def num_receiving(self) -> int:
        return len(self.roster.receiving)

    @property
    def num_held(self) -> int:
        return len(self.roster.held)

    @property
    def num_preemptions(self) -> int:
        return self.roster.num_preemptions

    @property
    def num_prefix_queries(self) -> int:
        """Tokens looked up in the prefix cache."""
        return self.roster.num_prefix_queries

    @property
    def num_prefix_hits(self) -> int:
        """Of these, tokens found."""
        return self.roster.num_prefix_hits

    @property
    def is_idle(self) -> bool:
        """Nothing waits, runs, receives or is held, and no step is in flight."""
        return self.roster.is_idle

    def get(self, seq_id: str) -> Sequence | None:
        """The sequence, unless it is unknown or finished."""
        return self.roster.get(seq_id)

    def add(self, seq: Sequence) -> None:
        """Join the end of the queue. Raises ValueError if it is not new, or can never fit."""
        admission.add(self.roster, seq)

    def reserve(self, seq: Sequence, num_tokens: int | None = None) -> bool:
        """Make room for `seq`; KV of its first `num_tokens` tokens is to come. State receiving.

        None means all that can be here: the prompt, or all but the last token where outputs exist
        already. It holds blocks for all its tokens and one more. The first `seq.num_cached` tokens
        are here already, in shared blocks: their KV need not be sent, and must not be written.
        False, changing nothing, when there is no slot or no room (rule 4), or while others wait:
        they came first. Raises ValueError as `add` does, or for a `num_tokens` that cannot be.
        """
        return transfer.reserve(self.roster, seq, num_tokens)

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
        transfer.received(self.roster, seq_id, tuple(tokens), num_tokens)

    def recompute(self, seq_id: str) -> None:
        """Its KV will not come (the source died): it frees what it reserved, and queues up."""
        transfer.recompute(self.roster, seq_id)

    def take_external(self, seq: Sequence, num_blocks: int | None = None) -> Adoption | None:
        """Room for the first blocks of `seq` from a memory server's pool; call it before `add`.

        Fetch the adoption's `missing` hashes, write them to their `block_ids`, then call
        `blocks.install(adoption, num_arrived)` (0 if nothing came), then `add(seq)`: it finds them
        in the prefix cache when it is admitted. None if there is nothing to fetch, or no room
        beside what runs.
        """
        return transfer.take_external(self.roster, seq, num_blocks)

    def take_back(self, seq: Sequence, leading: Callable[[Seq[bytes]], int]) -> Adoption | None:
        """Room for those blocks of the head of the queue that were evicted and lie elsewhere.

        `leading`: how many of the first of some hashes lie there. Goes on as `take_external` does;
        None if there is nothing to bring, or no room yet for all of the sequence.
        """
        return transfer.take_back(self.roster, seq, leading)

    def schedule(self) -> Step | None:
        """The next step, or None: nothing can run until something comes, ends or is released.

        Raises ValueError while as many steps are in flight as may be.
        """
        return batching.schedule(self.roster)

    def advance(self, step: Step, tokens: Mapping[str, int]) -> tuple[Sequence, ...]:
        """The step was computed; `tokens` has the sampled token of each item that samples.

        Returns those that can go no further (max_tokens, context or cache reached): they are held
        now, until `finish` or `release`. Sequences that were aborted, finished or preempted
        meanwhile are passed over. Raises ValueError, changing nothing, for another step than the
        one in flight or for a missing token.
        """
        return batching.advance(self.roster, step, tokens)

    def abandon(self, step: Step) -> None:
        """The step failed: nothing of it counts, and the same tokens are scheduled again."""
        self.roster.end_step(step)

    def finish(self, seq_id: str) -> None:
        """It is done: frees its blocks, whose content stays findable.

        Raises ValueError unless it is running or held.
        """
        self.roster.remove(self.roster.known(seq_id, State.RUNNING, State.HELD))

    def abort(self, seq_id: str) -> bool:
        """Forget it, whatever its state; False if it is not known (any more)."""
        seq = self.roster.get(seq_id)
        if seq is not None:
            self.roster.remove(seq)
        return seq is not None

    def distrust(self, seq_id: str, error: Exception) -> None:
        """Where numbers were not finite, those that it read may be the cause: blocks that it shares
        are found by nobody from now on.
        """
        seq = self.roster.get(seq_id)
        if seq is not None and isinstance(error, NotFinite):
            self.roster.distrust(seq)

    def preempt(self, seq_id: str) -> None:
        """Take a running sequence's blocks; it computes everything again, first in the queue."""
        self.roster.preempt(self.roster.known(seq_id, State.RUNNING))

    def hold(self, seq_id: str) -> None:
        """It runs no more, but its blocks stay until released: a peer reads them. Idempotent."""
        transfer.hold(self.roster, seq_id)

    def release(self, seq_id: str, block_indexes: Iterable[int] | None = None) -> int:
        """Let go of held blocks, by logical index (None: all); returns how many were let go now.

        An acknowledgement may come twice or late: what is released already, or an unknown sequence,
        counts 0. With its last block the sequence is finished. Raises ValueError if it is not held,
        or never had an index.
        """
        return transfer.release(self.roster, seq_id, block_indexes)

    def mark_approximate(self, seq_id: str, position: int) -> None:
        """KV from `position` on is approximate, so nobody else may find it.

        Call it before the `advance` or `received` that would share it.
        """
        transfer.mark_approximate(self.roster, seq_id, position)

    def give_away(self, seq_id: str, num_far: int) -> None:
        """The first `num_far` blocks of a running sequence lie with memory servers from now on,
        and are freed here: after the step in flight, if it reads them.

        Raises ValueError unless it runs, or where these are not all computed.
        """
        seq = self.roster.known(seq_id, State.RUNNING)
        if num_far * self.blocks.block_size > seq.num_computed:
            raise ValueError(
                f"sequence {seq_id!r}: {num_far} blocks are given away; {seq.num_computed} tokens "
                f"are computed, in blocks of {self.blocks.block_size}"
            )
        self.roster.give_away(seq, num_far)

    def check_integrity(self) -> None:
        """Assert that sequences, queues and blocks agree; what fails prints the whole sum."""
        self.roster.check_integrity()
