"""The router as a gateway reaches it: over messages, in every world."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from cluster.api.deadlines import too_late
from cluster.api.embedding import Embedded
from cluster.api.kinds import (
    Cancel,
    Drain,
    Held,
    Models,
    Outputs,
    State,
    Submit,
)
from cluster.api.output import Output
from cluster.api.request import Request
from cluster.gateway.arrived import Arrived
from cluster.gateway.client import ClusterState
from cluster.gateway.embed_calls import Input, embed_all
from cluster.gateway.entrance import Entrance, Visit
from cluster.gateway.message_stores import MessageStores
from cluster.gateway.reader import Reader
from cluster.gateway.router_watch import RouterWatch
from cluster.gateway.unread import Waits
from workers.errors import DeadlineExceeded, InvalidRequest, PeerDead, PerfuseError, QueueFull
from workers.node import Node
from workers.wire.kind import Kind
from workers.wire.membership import Member
from workers.wire.message import Message

A = TypeVar("A")


class MessageRouterClient(MessageStores):
    """`RouterClient` for a worker that stands on `node`: the HTTP gateway, and the workload in
    every world.

    deadline_ns      of a request that names none, and of an addition to a store
    timeout_ns       of one call; also how long a stream waits for the router's next incarnation
    router_returns   whether the router goes on with its streams when it is back: it has a journal
    dilation         wall time of an emulated second
    silence_ns       see `RouterWatch`
    """

    def __init__(
        self,
        node: Node,
        name: str,
        *,
        router: str,
        deadline_ns: int,
        timeout_ns: int,
        router_returns: bool,
        dilation: float,
        silence_ns: int | None = None,
    ) -> None:
        self._node, self._router = node, router
        self.deadline_ns, self._timeout_ns = deadline_ns, timeout_ns
        self._router_returns = router_returns
        self.entrance = Entrance(node, dilation)
        # While the router is away: ends the streams if it stays away.
        self._absence: asyncio.Task[None] | None = None
        # Requests that were given up while the router was away: it may know them when it is back.
        self._given_up: set[str] = set()
        self._port = node.port(name)
        self._watch = RouterWatch(node, self._port, router, silence_ns)
        self._port.on(Outputs, self._outputs)
        self._readers: dict[str, Reader] = {}
        node.members.on_leave.append(self._peer_left)
        node.members.on_join.append(self._peer_joined)

    def held(self) -> dict[str, int]:
        """What is held for requests: all zero when idle."""
        calls, inside = self._node.endpoint.outgoing.in_flight(), self.entrance.pace.num_open
        return {"readers": len(self._readers), "calls": calls, "inside": inside}

    def _outputs(self, message: Message[Outputs]) -> None:
        for index, told in enumerate(message.content.outputs):
            logits = message.content.logits.get(str(index))
            reader = self._readers.get(told.request_id)
            if reader is not None:  # else it was cancelled meanwhile
                reader.came(told if logits is None else replace(told, logits=logits))

    def _peer_left(self, member: Member, reason: str) -> None:
        if not self._carries_router(member):
            return
        gone = PeerDead(f"the router on {member.node} is gone: {reason}", node=member.node)
        if self._router_returns:
            self._absence = self._node.spawn(self._give_it_time(gone), "the router is away")
        else:
            self._end_all(gone)

    def _peer_joined(self, member: Member) -> None:
        if not self._carries_router(member):
            return
        if self._absence is not None:
            self._absence.cancel()
            self._absence = None
        for request_id in sorted(self._given_up):
            self._node.spawn(self._cancel(request_id), f"cancel {request_id}")
        self._given_up.clear()

    def _carries_router(self, member: Member) -> bool:
        return self._node.members.node_of(self._router) == member.node

    async def _give_it_time(self, gone: PeerDead) -> None:
        clock = self._node.clock
        await clock.wait_until(clock.deadline_floor(clock.now() + self._timeout_ns))
        self._absence = None
        self._given_up.clear()
        self._end_all(gone)

    def _end_all(self, gone: PeerDead) -> None:
        """Without the router no stream goes on."""
        for reader in self._readers.values():
            reader.put(gone)

    async def _call(self, content: Kind[A], request_id: str = "", *, is_long: bool = False) -> A:
        """Within the time of one call, or of an addition to a store."""
        within_ns = self.deadline_ns if is_long else self._timeout_ns
        return await self._call_within(content, within_ns, request_id)

    async def _call_within(self, content: Kind[A], within_ns: int, request_id: str = "") -> A:
        deadline_ns = self._deadline_in(within_ns)
        return await self._port.call(
            self._router, content, deadline_ns=deadline_ns, request_id=request_id
        )

    def _deadline_in(self, within_ns: int) -> int:
        """A point in emulated time that the router keeps as well."""
        clock = self._node.clock
        clock.join_wall()
        return clock.deadline_floor(clock.now() + within_ns)

    async def submit(
        self, request: Request, waits: Waits | None = None
    ) -> AsyncGenerator[Output, None]:
        """See RouterClient. Leaving early, for whatever reason, cancels; but by its deadline the
        router lets go of it without being told.
        """
        request_id, clock = request.request_id, self._node.clock
        if request_id in self._readers:
            raise InvalidRequest(f"request id {request_id!r} is in use")
        clock.join_wall()
        arrived_ns = request.arrived_ns
        if arrived_ns is None:  # before it waits for anything
            arrived_ns = clock.now()
            request = replace(request, arrived_ns=arrived_ns)
        # No longer than the answer is.
        deadline_ns = self._deadline_of(request, arrived_ns)
        reader = Reader(self._node.mailbox(queue="outputs of a request"), waits)
        self._readers[request_id] = reader
        visit = Visit(self.entrance.pace, self._node)
        late = too_late(arrived_ns, deadline_ns)
        timer = clock.call_at(deadline_ns, reader.put, late)
        ended, arrived = False, Arrived()
        try:
            await self.entrance.pass_through(deadline_ns)
            await self._ask(Submit(request, deadline_ns), request_id)
            while not ended:
                for told in await reader.get_due():
                    output = reader.read(told)
                    if clock.wall_now() > deadline_ns:
                        raise late
                    for following in arrived.take(output):
                        ended = bool(following.finish_reason)
                        visit.output(following.finish_reason)
                        yield following
        except PerfuseError as error:
            # A refusal left nothing behind; an answer that never came may have.
            is_late = isinstance(error, DeadlineExceeded) and clock.wall_now() >= deadline_ns
            ended = is_late or not isinstance(error, DeadlineExceeded | PeerDead)
            raise (late if is_late else self.entrance.with_time(error)) from error.__cause__
        finally:
            timer.cancel()
            del self._readers[request_id]
            visit.leave()
            if not ended:
                self._node.spawn(self._cancel(request_id), f"cancel {request_id}")

    def _deadline_of(self, request: Request, arrived_ns: int) -> int:
        """Raises QueueFull where it cannot be kept."""
        within_ns = request.deadline_ns or self.deadline_ns
        deadline_ns = self._node.clock.deadline_floor(arrived_ns + within_ns)
        try:
            self.entrance.pace.check(deadline_ns - self._node.clock.wall_now())
        except QueueFull as error:
            raise self.entrance.with_time(error) from None
        return deadline_ns

    async def _ask(self, content: Submit, request_id: str) -> None:
        async with self.entrance.asking():
            await self._watch.call(content, content.deadline_ns, request_id)

    async def _cancel(self, request_id: str) -> None:
        try:
            await self._call(Cancel(), request_id)
        except PeerDead:
            if self._absence is not None:
                self._given_up.add(request_id)
        except PerfuseError as error:
            now_ns = self._node.clock.now()
            self._node.trace.note(now_ns, "cancel failed", "", error.message, request_id)

    async def models(self) -> Sequence[Mapping[str, Any]]:
        models: Sequence[Mapping[str, Any]] = (await self._call(Models())).facts["models"]
        return models

    async def embed(self, model: str, texts: Sequence[Input]) -> Embedded:
        return await embed_all(model, texts, self._call_within, self._node.clock, self.deadline_ns)

    async def state(self, *, is_brief: bool = False) -> ClusterState:
        facts = (await self._call(State(is_brief))).facts
        blocks = facts.get("num_blocks", 0)
        return ClusterState(
            ready=True,
            draining=facts["draining"],
            num_running=facts.get("num_running", 0),
            num_waiting=facts["num_waiting"],
            kv_usage=1 - facts.get("num_blocks_free", 0) / blocks if blocks else 0.0,
            prefix_queries=facts.get("prefix_queries", 0),
            prefix_hits=facts.get("prefix_hits", 0),
            num_preemptions=facts.get("num_preemptions", 0),
            offload={what: n for what, n in facts.items() if what.startswith("offload_")},
            lack=facts["lack"],
        )

    async def held_everywhere(self) -> dict[str, int]:
        """What the whole cluster holds for requests: all zero when idle (law 4). Of a router that
        does not answer nobody knows.
        """
        try:
            # The router last: that it heard of the last output's arrival may still be on its way.
            state = (await self._call(State())).facts
            router = (await self._call(Held())).facts
        except (DeadlineExceeded, PeerDead):
            return {"router_silent": 1, **self.held()}
        chips = {f"chip_{key}": state.get(key, 0) for key in ("jobs", "blocks", "reports")}
        return {**{f"router_{k}": v for k, v in router.items()}, **chips, **self.held()}

    async def drain(self) -> None:
        """Take nothing new from now on; what is inside goes on."""
        await self._call(Drain())
