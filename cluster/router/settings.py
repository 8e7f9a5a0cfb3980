"""What a router is told of its cluster when it is built."""

from collections.abc import Callable
from dataclasses import dataclass

from cluster.router.machine.events import Fault


def _as_told(fault: Fault) -> Fault:
    return fault


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """model         served name                             max_model_len, block_size   in tokens
    vocab         token ids that the model has
    shares_prefixes   chips find shared prefixes again
    max_queue     requests inside at once; the next is refused with QueueFull
    timeout_ns    of one call to a worker
    ships_search  a chip scans what memory servers send it
    has_values    chips compute what they answer; else it is placeholders
    silence_ns    after which a chip that says nothing is given up; None: none can fall silent
    attempts      how often chips may begin a request
    judged        what a chip says of a sequence, as the router knows better; see `experts_gone`
    """

    model: str
    vocab: int
    max_model_len: int
    block_size: int
    shares_prefixes: bool
    max_queue: int
    timeout_ns: int
    ships_search: bool = False
    has_values: bool = True
    attempts: int = 3
    judged: Callable[[Fault], Fault] = _as_told
    silence_ns: int | None = 1_500_000_000
