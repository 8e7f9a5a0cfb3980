"""Chips and shards of the plain program, and what goes between them."""

from dataclasses import dataclass, field

from kernels.fold.lane import Lane
from kernels.fold.launching import Launching
from kernels.fold.rounds import Task
from kernels.fold.terms import Chosen, Drawn, Times


@dataclass(eq=False)
class Sent:
    """What one chip sent one shard of a layer."""

    chip: int
    layer: int
    rows: int
    choices: list[int]


@dataclass(eq=False)
class Stretch:
    start_ns: int
    launches_ns: Times
    choices: Chosen | Drawn
    is_cut: bool = False


@dataclass(eq=False)
class Chip:
    out: Lane
    into: Lane
    launching: Launching
    stretch: Stretch | None = None
    num_open: int = 0
    task: Task | None = None


@dataclass(eq=False)
class Shard:
    out: Lane
    into: Lane
    waiting: list[Sent] = field(default_factory=list)
    is_idle: bool = True
    task: Task | None = None
