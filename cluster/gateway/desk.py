"""What all requests of one gateway share, and the count of generations that are open."""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from cluster.api.cursor import Places
from cluster.gateway.admin import Admin
from cluster.gateway.batches import Batches
from cluster.gateway.client import ClusterState, RouterClient
from cluster.gateway.compiling import Constraints
from cluster.gateway.expiry import Expiry
from cluster.gateway.files import FileShelf
from cluster.gateway.metrics import Metrics
from cluster.gateway.naming import Naming
from cluster.gateway.open_names import OpenNames
from cluster.gateway.pace import NS_PER_S, Gaps
from cluster.gateway.pulse import Pulse
from cluster.gateway.settings import GatewaySettings
from cluster.gateway.unread import AllUnread
from workers.errors import Draining, NotFound, PerfuseError, QueueFull
from workers.host.aside import Aside


class Desk:
    """`now_ns` is a monotonic clock for intervals, `now_s` Unix time for timestamps."""

    def __init__(
        self,
        client: RouterClient,
        settings: GatewaySettings,
        now_ns: Callable[[], int] = time.perf_counter_ns,
        now_s: Callable[[], float] = time.time,
        admin: Admin | None = None,
    ) -> None:
        self.client = client
        self.settings = settings
        self.admin = admin or Admin("", settings.admin_key, None)
        self.now_ns = now_ns
        self._now_s = now_s
        # Two gateways before one router, or one that restarted, must not repeat a request id.
        self.incarnation = uuid.uuid4().hex[:8]
        self.naming = Naming(self.incarnation, settings.seed)
        self.names = OpenNames(now_ns)
        self.metrics = Metrics(settings.engine)
        self.unread = AllUnread(settings.max_unread_total_bytes)
        self.aside = Aside("gateway")
        self.constraints = Constraints(self.aside)
        self.shelf = FileShelf(settings)
        self.batches = Batches(self.incarnation)
        self.expiry = Expiry()
        self.store_places = Places()
        self.pulse = Pulse(lambda: client.state(is_brief=True), settings.state_timeout_s, now_ns)
        self.started_s = self.now_s()
        self.draining = False
        self.ending = False
        self._open: dict[str, asyncio.Task[Any]] = {}
        self._ends = Gaps()
        self._served: dict[str, Mapping[str, Any]] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def now_s(self) -> int:
        return int(self._now_s())

    @property
    def num_open(self) -> int:
        return len(self._open)

    def check_admits(self) -> None:
        """Raises Draining, or QueueFull where more generations are open than memory is for."""
        if self.draining:
            raise Draining(
                "the gateway is shutting down: send new requests elsewhere",
                retry_after_s=self.settings.drain_timeout_s,
            )
        if self.num_open >= self.settings.max_inflight:
            raise QueueFull(
                f"{self.num_open} generations are open, which is the gateway's limit",
                retry_after_s=self._ends.of(self.num_open) / NS_PER_S,
            )

    def enter(self, unique: str, work: asyncio.Task[Any]) -> None:
        assert unique not in self._open, unique
        if not self._open:
            self._ends.busy(self.now_ns())
        self._open[unique] = work
        self._idle.clear()
        self.metrics.open_requests.set(self.num_open)

    def leave(self, unique: str) -> None:
        del self._open[unique]
        self._ends.happened(self.now_ns())
        self.metrics.open_requests.set(self.num_open)
        if not self._open:
            self._idle.set()

    async def drain(self) -> None:
        """Refuse new generations; wait for the open ones, and end what outlives the timeout."""
        self.draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), self.settings.drain_timeout_s)
        except TimeoutError:
            self.ending = True
            for work in list(self._open.values()):
                work.cancel()
            await self._idle.wait()

    async def delete_store(self, store_id: str) -> None:
        """With what is known of it here."""
        await self.client.delete_store(store_id)
        self.batches.drop_store(store_id)
        self.expiry.drop(store_id)

    async def see_store(self, store_id: str | None) -> None:
        """Before anybody looks at stores, or uses this one: those that are due go."""
        for due in self.expiry.due(self.now_s()):
            self.expiry.drop(due)  # whoever comes meanwhile need not
            with suppress(NotFound):
                await self.delete_store(due)
        if store_id is not None:
            self.expiry.used(store_id, self.now_s())

    async def state(self) -> ClusterState:
        """The router's state. Raises TimeoutError if it does not answer, or whatever it raises."""
        return await asyncio.wait_for(self.client.state(), self.settings.state_timeout_s)

    async def served(self, name: str) -> Mapping[str, Any] | None:
        """What the router says of a model. None where it knows none of that name, or does not
        answer: whoever submits hears why.
        """
        if name not in self._served:
            with suppress(PerfuseError):
                self._served = {str(model["id"]): model for model in await self.client.models()}
        return self._served.get(name)

    async def models(self) -> Sequence[dict[str, Any]]:
        """Served models in OpenAI's form, with what else the router says of them."""
        common = {"object": "model", "created": self.started_s, "owned_by": "perfuse"}
        return [common | dict(model) for model in await self.client.models()]
