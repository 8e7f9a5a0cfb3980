"""What may go wrong, by its word: how one is drawn, and what it does. A new kind is one entry of
KINDS and one class: `Link` judges messages, `Deed` does something to a node.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from cluster.chaos.trial import ANYONE, ROLLING, Fault
from workers.wire.rules import Corrupt, Delay, Drop, Duplicate, Verdict


class Nodes(Protocol):
    """What a deed may do to nodes; each returns whether it could be done."""

    def kill(self, node: str, for_ns: int | None) -> bool:
        """It dies, and comes back after so long; None: when all is healed."""
        ...

    def narrow(self, fault: Fault) -> bool:
        """A link moves at most `fault.amount` bytes/s."""
        ...

    def carries(self, source: str, destination: str, num_bytes: int) -> None:
        """A message sets out, over a link that may be narrow."""
        ...

    def begin(self, fault: Fault) -> bool:
        """It is paused, slow, its disk full, its memory a neighbour's (`fault.amount` of MILLION)
        or its clock wrong, for so long; None: until all is healed.
        """
        ...

    def roll(self) -> bool:
        """All restart, one after the other."""
        ...

    def damage(self, fault: Fault) -> bool:
        """A bit of a pooled block changes; `fault.amount` of MILLION says where."""
        ...


MILLION = 1_000_000
# A link that is narrower cannot be written as a fault.
RATE_MIN = 1_000


@dataclass(frozen=True, slots=True)
class Link:
    """Something that goes wrong with messages.

    verdict    what becomes of one that is hit        both   whether it meets both directions
    amount     draws the fault's amount, of a trial's deadline in ns
    least      that an amount may be, if it is any
    is_total   it hits all that pass, always
    """

    verdict: Callable[[Fault], Verdict]
    both: bool = False
    amount: Callable[[Random, int], int] = lambda chance, deadline_ns: 0
    least: int = 1
    is_total: bool = False


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that happens to a node, or to a link as a whole.

    num_nodes   1 for a node, 2 for a link
    of          what a node must have (`able_nodes`); "" for nothing
    least       that an amount may be, if it is any
    """

    do: Callable[[Fault, Nodes], bool]
    num_nodes: int = 1
    amount: Callable[[Random, int], int] = lambda chance, deadline_ns: 0
    of: str = ""
    least: int = 1


def _late(chance: Random, deadline_ns: int) -> int:
    """From a little to far beyond every bound that follows from a deadline."""
    return int(deadline_ns * 10 ** chance.uniform(-2.5, 1))


def _wrong(chance: Random, deadline_ns: int) -> int:
    """From a little to some deadlines."""
    return int(deadline_ns * 10 ** chance.uniform(-2.5, 0.5))


def _rate(chance: Random, deadline_ns: int) -> int:
    """Bytes/s: 1 kB in from a hundredth of a deadline to ten of them."""
    return max(int(1e12 / (deadline_ns * 10 ** chance.uniform(-2, 1))), RATE_MIN)


KINDS: Mapping[str, Link | Deed] = {
    "drop": Link(lambda fault: Drop()),
    "duplicate": Link(lambda fault: Duplicate(fault.amount), amount=_late),
    "corrupt": Link(lambda fault: Corrupt()),
    "delay": Link(lambda fault: Delay(fault.amount), amount=_late),
    "partition": Link(lambda fault: Drop(), both=True, is_total=True),
    "one way": Link(lambda fault: Drop(), is_total=True),
    "narrow": Deed(lambda fault, nodes: nodes.narrow(fault), 2, _rate, least=RATE_MIN),
    "crash": Deed(lambda fault, nodes: nodes.kill(fault.nodes[0], fault.for_ns)),
    "pause": Deed(lambda fault, nodes: nodes.begin(fault)),
    "slow": Deed(
        lambda fault, nodes: nodes.begin(fault),
        amount=lambda chance, deadline_ns: int(10 ** chance.uniform(0.4, 3)),
        of="launches",
    ),
    "disk_full": Deed(lambda fault, nodes: nodes.begin(fault), of="disk"),
    "page_error": Deed(
        lambda fault, nodes: nodes.damage(fault),
        amount=lambda chance, deadline_ns: chance.randrange(MILLION),
        of="pool",
    ),
    "out_of_memory": Deed(
        lambda fault, nodes: nodes.begin(fault),
        amount=lambda chance, deadline_ns: chance.choice((300_000, 600_000, MILLION)),
        of="kv",
    ),
    "clock_ahead": Deed(lambda fault, nodes: nodes.begin(fault), amount=_wrong),
    "clock_behind": Deed(lambda fault, nodes: nodes.begin(fault), amount=_wrong),
    ROLLING: Deed(lambda fault, nodes: nodes.roll()),
}
CLOCKS = ("clock_ahead", "clock_behind")
# What may make a node that lives seem dead.
HINDERING = frozenset(word for word, what in KINDS.items() if isinstance(what, Link)) - {
    "duplicate"
} | {"narrow", *CLOCKS}
# (kind of a fault, life-cycle point) that cannot be met, and why.
IMPOSSIBLE: Mapping[tuple[str, str], str] = {
    ("page_error", "ranks"): "a cluster with a chip of several ranks pools no KV",
}


def is_between(fault: Fault, source: str, destination: str) -> bool:
    """Whether a link's fault is about what `source` sends to `destination`; all are nodes."""
    first, second = fault.nodes

    def one(a: str, b: str) -> bool:
        return a in (ANYONE, source) and b in (ANYONE, destination)

    kind = KINDS[fault.what]
    return one(first, second) or (isinstance(kind, Link) and kind.both and one(second, first))
