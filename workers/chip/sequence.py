"""One generation as a chip sees it: tokens, how far they are computed, which blocks hold their KV.

    waiting ----> running ----> held ----> finished
                  |    ^  ^
                  v    |  |
              preempted   receiving (----> waiting, when its KV will not come after all)

waiting     wants to run, holds nothing
receiving   its KV is on its way; holds reserved blocks
running     holds blocks for all its tokens
preempted   lost its blocks, will be computed again
held        runs no more, holds blocks that somebody still reads
finished    holds nothing; final

Each state but finished may also go to finished (abort). What is not in the table is refused.
"""

from collections.abc import Iterable
from enum import Enum

# In place of the id of a block that lies with a memory server.
ELSEWHERE = -1


class State(Enum):
    """Where a sequence stands; see the module's map."""

    WAITING = "waiting"
    RECEIVING = "receiving"
    RUNNING = "running"
    PREEMPTED = "preempted"
    HELD = "held"
    FINISHED = "finished"


TRANSITIONS: dict[State, tuple[State, ...]] = {
    State.WAITING: (State.RUNNING, State.RECEIVING, State.FINISHED),
    State.RECEIVING: (State.RUNNING, State.WAITING, State.FINISHED),
    State.RUNNING: (State.PREEMPTED, State.HELD, State.FINISHED),
    State.PREEMPTED: (State.RUNNING, State.FINISHED),
    State.HELD: (State.FINISHED,),
    State.FINISHED: (),
}


class IllegalTransition(ValueError):
    """A sequence was asked to go where the table does not let it; nothing was changed."""


class Sequence:
    """Plain state, changed by the scheduler alone. Positions count from 0, prompt and outputs.

    token_ids         prompt, then what was generated so far
    num_computed      tokens whose KV is in `block_ids`; below num_tokens while it runs
    num_cached        tokens found in the prefix cache when it was first admitted or reserved
    block_ids         physical blocks in logical order; the first `num_far` are ELSEWHERE
    num_far           so many first blocks lie with memory servers
    num_slid          so many first blocks lie behind the window of all layers that have one
    block_hashes      content hashes of leading full blocks of `token_ids`
    held              state held only: logical block index -> block id still held
    arrival           order in which the scheduler learned of it, from 0
    approximate_from  first position whose KV is approximate (never shared), or None
    """

    __slots__ = (
        "approximate_from", "arrival", "block_hashes", "block_ids", "block_size", "held",
        "max_tokens", "num_cached", "num_computed", "num_expected", "num_far", "num_prompt",
        "num_slid", "salt", "seq_id", "state", "token_ids",
    )  # fmt: skip

    def __init__(
        self,
        seq_id: str,
        prompt_token_ids: Iterable[int],
        max_tokens: int,
        output_token_ids: Iterable[int] = (),
        salt: bytes = b"",
    ) -> None:
        """`output_token_ids`: generated elsewhere (a resumed stream); `max_tokens` counts them.

        max_tokens is 1 for a prefill-only sequence. Sequences of different `salt` never share
        blocks. Raises ValueError for an empty prompt, or when max_tokens leaves nothing to
        generate.
        """
        self.token_ids = list(prompt_token_ids)
        self.num_prompt = len(self.token_ids)
        self.token_ids.extend(output_token_ids)
        if not self.num_prompt:
            raise ValueError(f"sequence {seq_id!r} has an empty prompt: it needs at least 1 token")
        if max_tokens <= self.num_outputs:
            raise ValueError(
                f"sequence {seq_id!r}: max_tokens is {max_tokens}, but it already has "
                f"{self.num_outputs} output tokens: it must be at least {self.num_outputs + 1}"
            )
        self.seq_id = seq_id
        self.max_tokens = max_tokens
        self.salt = salt
        self.state = State.WAITING
        self.num_computed = 0
        self.num_cached = 0
        self.num_expected = 0  # state receiving only: tokens whose KV was announced
        self.block_size = 0  # known once a scheduler has it
        self.block_ids: list[int] = []
        self.num_far = 0
        self.num_slid = 0
        self.block_hashes: list[bytes] = []
        self.held: dict[int, int] = {}
        self.arrival = -1
        self.approximate_from: int | None = None

    @property
    def own_blocks(self) -> list[int]:
        """Its blocks on this chip, in logical order."""
        return self.block_ids[self.num_far :]

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids)

    @property
    def num_outputs(self) -> int:
        return len(self.token_ids) - self.num_prompt

    @property
    def prompt_token_ids(self) -> list[int]:
        return self.token_ids[: self.num_prompt]

    @property
    def output_token_ids(self) -> list[int]:
        return self.token_ids[self.num_prompt :]

    def num_exact_computed(self) -> int:
        """Leading tokens whose KV is computed, and is what every other chip would compute."""
        if self.approximate_from is None:
            return self.num_computed
        return min(self.num_computed, self.approximate_from)

    def full_block_hashes(self) -> tuple[bytes, ...]:
        """Hashes of its leading full, computed, exact blocks; hash i is that of `block_ids[i]`."""
        if not self.block_size:
            return ()
        return tuple(self.block_hashes[: self.num_exact_computed() // self.block_size])

    def move(self, state: State) -> None:
        """Go to `state`; raises IllegalTransition, changing nothing, where the table says no."""
        if state not in TRANSITIONS[self.state]:
            legal = ", ".join(s.value for s in TRANSITIONS[self.state]) or "nothing: it is final"
            raise IllegalTransition(
                f"sequence {self.seq_id!r} is {self.state.value} and cannot become {state.value}; "
                f"legal: {legal}"
            )
        self.state = state

    def __repr__(self) -> str:
        return (
            f"Sequence({self.seq_id!r}, {self.state.value}, computed {self.num_computed} of "
            f"{self.num_tokens}, blocks {self.block_ids})"
        )
