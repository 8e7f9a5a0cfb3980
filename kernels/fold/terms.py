"""What a folded group is told, and what it tells.

Letters: E experts, S shards, C chips, X exchanges of a step (its layers with experts), T tokens of
a chip's step, K experts a token, P tokens of a pool.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

NOBODY = -1  # in choices: an expert that lives elsewhere

Times = NDArray[np.int64]


class Link(NamedTuple):
    """A node's own link, one direction, messages in order; as `configs.schema.link.LinkSpec`.

    latency_ns   of a path the slower end's counts, and the sender's start-up comes on top
    """

    bytes_per_s: int
    latency_ns: int
    startup_ns: int = 0


class Size(NamedTuple):
    """Bytes of a message of some rows: fixed + rows x row."""

    fixed: int
    row: int

    def of(self, rows: int, messages: int = 1) -> int:
        return self.fixed * messages + self.row * rows


class Term(NamedTuple):
    """What a launch asks of one resource: an amount for each row or choice, as
    `workers.hardware.sharing.base.duration_ns` rounds it.

    of   "rows": tokens, once a shard; "choices": tokens x experts of the shard that they chose
    """

    of: Literal["rows", "choices"]
    amount: int
    rate_per_s: float

    def duration_ns(self, count: int) -> int:
        return -int(-count * self.amount * 1_000_000_000 // self.rate_per_s)


@dataclass(frozen=True)
class Terms:
    """Links, messages and launches of a group of like chips beside a group of like shards.

    overhead_ns   of a launch
    reads_ns      by how many different experts a batch meets, 0 .. the most that a shard owns: how
                  long their weights take, latencies included. It need not be linear
    computes      what else a launch asks for; all begin together, the last one ends it
    """

    chip_link: Link
    shard_link: Link
    dispatch: Size
    combine: Size
    overhead_ns: int = 0
    reads_ns: tuple[int, ...] = ()
    computes: tuple[Term, ...] = ()

    def launch_ns(self, rows: int, choices: int, distinct: int) -> int:
        """At a shard that is not slow."""
        took_ns = self.reads_ns[distinct]
        for term in self.computes:
            took_ns = max(took_ns, term.duration_ns(rows if term.of == "rows" else choices))
        return self.overhead_ns + took_ns

    @property
    def path_ns(self) -> int:
        return max(self.chip_link.latency_ns, self.shard_link.latency_ns)


@dataclass(frozen=True)
class Chosen:
    """Experts of every token, given: int32 [steps, X, T, K], at most once a token; NOBODY: none."""

    experts: NDArray[np.int32]


@dataclass(frozen=True)
class Drawn:
    """Tokens drawn from a pool, each with its experts: by (seed, chip, step, exchange), whatever
    the order of asking.

    pool         what `add_pool` returned
    tokens       of each step and exchange
    first_step   counts a chip's steps on from one stretch to the next
    """

    pool: int
    tokens: int
    seed: int
    first_step: int


class Ended(NamedTuple):
    """A step. Of its time compute_ns went into launches, and what these waited for others, wait_ns
    into waiting for experts.

    step   index within its stretch        is_last   the stretch ended with it
    """

    chip: int
    step: int
    end_ns: int
    compute_ns: int
    wait_ns: int
    is_last: bool


class UnderWay(NamedTuple):
    """A chip's launch that has begun and not ended; or, where none has, the next one.

    exchange   before which it is; the number of all exchanges: it ends the step
    begin_ns   late_ns: of these it waits for others
    """

    is_launching: bool
    begin_ns: int
    late_ns: int
    step: int
    exchange: int


@dataclass
class EndCounts:
    """By node of a group: what crossed its link so far, each way."""

    messages_out: Times
    rows_out: Times
    busy_out_ns: Times
    messages_in: Times
    rows_in: Times
    busy_in_ns: Times

    @classmethod
    def zero(cls, nodes: int) -> "EndCounts":
        return cls(*(np.zeros(nodes, dtype=np.int64) for _ in range(6)))


@dataclass
class Counts:
    """What was done so far. A message counts at its sender when it is sent, at a shard when a
    launch takes it, at a chip at the latest with its layer; so while steps are running the two ends
    need not agree.

    chips, shards   bytes follow from rows and messages (`Size.of`): dispatches leave chips
    batches_S, compute_ns_S   launches, and their time
    choices_S, distinct_S     over launches: tokens x experts, and experts whose weights were read
    expert_tokens_E           tokens that were sent to each expert
    """

    chips: EndCounts
    shards: EndCounts
    batches_S: Times
    compute_ns_S: Times
    choices_S: Times
    distinct_S: Times
    expert_tokens_E: Times

    @classmethod
    def zero(cls, chips: int, shards: int, experts: int) -> "Counts":
        of_shards = (np.zeros(shards, dtype=np.int64) for _ in range(4))
        batches_S, compute_ns_S, choices_S, distinct_S = of_shards
        return cls(
            EndCounts.zero(chips), EndCounts.zero(shards), batches_S, compute_ns_S, choices_S,
            distinct_S, np.zeros(experts, dtype=np.int64),
        )  # fmt: skip
