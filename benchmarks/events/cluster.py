"""What the driver asks of a cluster, whichever generation of the code it stands on."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

# The demo's machines and links, whose presets every generation has.
DEVICE = "h100-sxm"
LINK = "lowlat-2us"
# Longer than any answer takes: a repetition would be an event that nobody asked for.
TIMEOUT_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rows:
    """T tokens of one layer, with K experts each, as a chip's step has them."""

    requests_T: NDArray[np.uint64]
    positions_T: NDArray[np.int64]
    hidden_TH: NDArray[np.float32]
    experts_TK: NDArray[np.int32]
    weights_TK: NDArray[np.float32]


class Machine(Protocol):
    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> Awaitable[None]:
        """Start a task of this node; one that fails fails the whole run."""
        ...

    async def launch(self) -> None:
        """A kernel that does nothing: it takes the device's launch overhead."""
        ...


class Chip(Machine, Protocol):
    async def exchange(self, layer: int, rows: Rows) -> NDArray[np.float64]:
        """Dispatch, wait for all shards, combine: [T, H]."""
        ...


class Shard(Machine, Protocol):
    async def receive(self) -> Sequence[Any]:
        """All dispatches that wait."""
        ...

    async def answer(self, batch: Sequence[Any], sums_tH: NDArray[np.float64]) -> None:
        """The same partial sums to each."""
        ...


@dataclass(frozen=True, slots=True)
class Cluster:
    """Each machine a node of its own, in one virtual world.

    num_records   of the trace so far: deliveries and runs
    """

    chips: Sequence[Chip]
    shards: Sequence[Shard]
    num_records: Callable[[], int]
    digest: Callable[[], str]


class Stand(Protocol):
    """An adapter's one function: let a cluster stand, do the job in it, take it down.

    owners   the shard that owns each expert, as an index
    """

    def __call__(
        self, num_chips: int, owners: Sequence[int], job: Callable[[Cluster], Awaitable[T]]
    ) -> T: ...
