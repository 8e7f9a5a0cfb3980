"""One trial as data: a scenario, who asks what and when, and what goes wrong. All that comes of it
follows from what stands here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

ANYONE = "*"
# The two nodes of the message at which a fault begins: so it strikes whoever it is about.
SENDER, RECEIVER = "@sender", "@receiver"
ENDS = (SENDER, RECEIVER)
# What nobody notices who waits a little.
MILD = ("drop", "duplicate", "corrupt")
# Every node restarts, one after the other, while the cluster serves: nobody notices that either.
ROLLING = "rolling"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    prompt       (number, length, shared): its token ids are a function of these; those with the
                 same `shared` > 0 begin with the same so many tokens
    leaves_after   tokens after which its reader goes, or None
    resends_after  tokens after which its reader's connection breaks, or None: it sends it again
    temperature  0: greedy; else sampled, with its number as the seed
    """

    name: str
    prompt: tuple[int, int, int]
    max_tokens: int
    at_ns: int = 0
    temperature: float = 0.0
    leaves_after: int | None = None
    resends_after: int | None = None

    def prompt_ids(self, vocab: int) -> tuple[int, ...]:
        """Of a vocabulary of so many tokens."""
        number, length, shared = self.prompt
        ids = [3 + (shared * 131 + i * i * 31 + i * 17) % (vocab - 8) for i in range(shared)]
        own = range(length - shared)
        ids += [3 + (number * 7919 + i * i * 37 + i * 19) % (vocab - 8) for i in own]
        return tuple(ids)


@dataclass(frozen=True, slots=True)
class At:
    """When a fault begins: with the `nth` message of `kind` that anybody sends (1 is the first), or
    `ns` after the first request where no kind is named.
    """

    kind: str = ""
    nth: int = 0
    ns: int = 0


# Who sent it to whom (nodes), its kind, and the how manieth of these it is, from 1 on.
Hit = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong.

    what     a word of `cluster.chaos.kinds.KINDS`
    nodes    the link's two ends, or the one node; ANYONE stands for all, and each of ENDS for one
             end of the message at which it begins
    kind     of the messages that are hit, or ANYONE
    for_ns   how long; None: until all is healed
    amount   what its kind makes of it: ns of delay, bytes/s of a narrow link
    hits     exactly these messages are hit, whatever the rest says: what chance once chose
    """

    name: str
    what: str
    at: At
    nodes: tuple[str, ...]
    kind: str = ANYONE
    chance: float = 1.0
    for_ns: int | None = None
    amount: int = 0
    hits: tuple[Hit, ...] | None = None

    @property
    def is_aimed(self) -> bool:
        """Whether its nodes are known when it begins, and not before."""
        return self.hits is None and any(node in ENDS for node in self.nodes)

    def struck(self, source: str, destination: str) -> "Fault":
        """The same, once it begins with a message between these two."""
        ends = {SENDER: source, RECEIVER: destination}
        return replace(self, nodes=tuple(ends.get(node, node) for node in self.nodes))

    @property
    def is_mild(self) -> bool:
        """Whether it is about the very message that it waits for, and no later one; or a rolling
        restart.
        """
        if self.what == ROLLING:
            return True
        is_one = bool(self.at.kind) and self.kind == self.at.kind and self.for_ns == 1
        return is_one and self.what in MILD and self.hits is None


@dataclass(frozen=True, slots=True)
class Trial:
    """scenario   as a scenario file has it, without the model's path and without a workload
    model      what its config.json says; None: the shipped perfuse-tiny
    name       by which `perfuse chaos replay` finds it: a seed, or a seed and its mutations
    """

    name: str
    scenario: Mapping[str, Any]
    model: Mapping[str, Any] | None
    asks: tuple[Ask, ...]
    faults: tuple[Fault, ...]

    @property
    def is_mild(self) -> bool:
        """Whether single messages are lost, damaged or doubled, or nodes restart in turn, and
        nothing else goes wrong: what is said again makes up for that, and no request may fail.
        """
        return all(fault.is_mild for fault in self.faults)

    @property
    def rolls(self) -> bool:
        """Whether there is a rolling restart in it."""
        return any(fault.what == ROLLING for fault in self.faults)

    @property
    def groups(self) -> Mapping[str, Mapping[str, Any]]:
        """Its groups of nodes."""
        found: Mapping[str, Mapping[str, Any]] = self.scenario["cluster"]["nodes"]
        return found


@dataclass(slots=True)
class Seen:
    """What the run of a trial showed.

    broken     a line for each way in which a law was broken: "law: what"
    hits       fault -> messages it hit, in their order
    cells      (fault's kind, life-cycle point) -> how often
    features   what was reached, for whoever looks for new things
    reach      cells that one more fault could have met, in this cluster
    marks      (at_ns, row, what) of whatever a picture should show
    """

    name: str
    broken: list[str] = field(default_factory=list)
    trace_hash: str = ""
    num_tokens: int = 0
    num_answered: int = 0
    num_failed: int = 0
    num_envelopes: int = 0
    num_fired: int = 0
    hits: dict[str, list[Hit]] = field(default_factory=dict)
    cells: dict[tuple[str, str], int] = field(default_factory=dict)
    features: set[str] = field(default_factory=set)
    reach: frozenset[tuple[str, str]] = frozenset()
    marks: list[tuple[int, int, str, str]] = field(default_factory=list)

    @property
    def laws(self) -> set[str]:
        """Those that were broken."""
        return {line.split(":")[0] for line in self.broken}
