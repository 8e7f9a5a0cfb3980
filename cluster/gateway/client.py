"""What the gateway asks of a cluster: the one seam between HTTP and the router.

The gateway is written against this protocol alone, so the same shell stands before a router in this
process, a router behind endpoint messages, and a scripted one in the tests.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cluster.api.embedding import Embedded
from cluster.api.output import Output
from cluster.api.request import Request
from cluster.gateway.embed_calls import Input
from cluster.gateway.store_client import StoreClient
from cluster.gateway.unread import Waits


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What the router knows of itself now.

    lack              what no request can do without and nobody has, in words, or ""
    kv_usage          fraction of all KV blocks in use, 0 to 1
    prefix_queries    tokens looked up in prefix caches since start
    prefix_hits       tokens found there since start
    num_preemptions   sequences preempted since start
    offload           counts of KV offload since start (`workers.kv.offload`); empty where it is off
    """

    ready: bool
    draining: bool = False
    num_running: int = 0
    num_waiting: int = 0
    kv_usage: float = 0.0
    prefix_queries: int = 0
    prefix_hits: int = 0
    num_preemptions: int = 0
    offload: Mapping[str, int] = field(default_factory=dict)
    lack: str = ""


class RouterClient(StoreClient, Protocol):
    """Methods raise PerfuseError subclasses; any other exception is a bug and becomes a 500.

    deadline_ns   emulated nanoseconds of a request that names none, and the most that one may name
    """

    deadline_ns: int

    def submit(self, request: Request, waits: Waits | None = None) -> AsyncGenerator[Output, None]:
        """Stream one generation.

        `waits` is told of each output that comes, and of each that is read: what waits between is
        its to bound.

        The last output carries a `finish_reason`; the generator then ends. `aclose()`, and a
        cancellation at any await, cancel the generation and free all that it held. Raises
        QueueFull, ContextTooLong, NotFound, Draining, InvalidRequest or DeadlineExceeded, refusals
        before the first output.
        """
        ...

    async def models(self) -> Sequence[Mapping[str, Any]]:
        """Served models: {"id", "max_model_len", ...}; further keys are shown as they are."""
        ...

    async def embed(self, model: str, texts: Sequence[Input]) -> Embedded:
        """One vector a text, in order; a text may come as the served model's tokens. Raises
        NotFound for an unknown embedder, and InvalidRequest or ContextTooLong naming the text that
        is wrong.
        """
        ...

    async def state(self, *, is_brief: bool = False) -> ClusterState:
        """Cheap enough to be asked on every scrape. In brief, on every health check: what the
        router itself knows, without numbers.
        """
        ...
