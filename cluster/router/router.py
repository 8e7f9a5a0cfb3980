"""The life of a request, from `submit` to its last token.

    gateway ── submit ─▶ admit ▶ retrieve ▶ render and tokenise ─▶ accepted
                                                     │
                    place: reserve on a decode chip ◀┘  (in line while no chip has room)
                    prefill on a prefill chip ─▶ first token; its KV goes to the decode chip
                    or generate on a chip that does both: nothing is reserved, no KV travels
    gateway ◀─ outputs ── text ◀ tokens ◀── decode chip, a token a step
                    end: everything that was held is let go

What is decided is elsewhere and pure: `placement`, `prompts`, `stream`, and `state`, which only
events change.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.api.kinds import Accepted, Cancel, Submit, WasCancelled
from cluster.api.output import Output
from cluster.api.request import Request
from cluster.router.events import (
    ChipLost,
    FirstTokenSampled,
    PlacementRefused,
    RequestAdmitted,
    RequestEnded,
    RequestPlaced,
    RequestPrepared,
)
from cluster.router.placement import place
from cluster.router.prompts import check_length, prompt_ids, retrieval_query
from cluster.router.reader_line import ReaderLine, reader_line
from cluster.router.state import ChipState, RouterState
from cluster.router.stores import Stores
from cluster.router.stream import Stream
from cluster.text.tokenizer import Tokenizer
from workers.errors import (
    Cancelled,
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    NotFound,
    PeerDead,
    PerfuseError,
    QueueFull,
    from_body,
    to_body,
)
from workers.host.mailbox import Mailbox
from workers.kv.blocks import BlockManager
from workers.node import Node
from workers.wire.kinds.chip import Abort, Generate, Prefill, Reserve, Tokens
from workers.wire.membership import Member
from workers.wire.message import Message


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """model         served name                             max_model_len, block_size   in tokens
    vocab         token ids that the model has
    max_queue     requests inside at once; the next is refused with QueueFull
    deadline_ns   of a request that names none            timeout_ns   of one call to a worker
    """

    model: str
    vocab: int
    max_model_len: int
    block_size: int
    max_queue: int
    deadline_ns: int
    timeout_ns: int


class Router:
    """One task a request, and handlers for what gateways and chips say."""

    def __init__(
        self,
        node: Node,
        name: str,
        settings: RouterSettings,
        tokenizer: Tokenizer,
        stores: Stores,
        chips: tuple[ChipState, ...],
    ) -> None:
        self._node, self.settings, self._tokenizer = node, settings, tokenizer
        self.stores = stores
        self.state = RouterState(chips, settings.block_size)
        self.draining = False
        # The chips' own hash function: the router's picture of their caches uses their names.
        self._hasher = BlockManager(1, settings.block_size)
        self._streams: OrderedDict[str, Stream] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, Mailbox[PerfuseError | None]] = {}
        # waiting for room, oldest first
        self._line: OrderedDict[str, Mailbox[None]] = OrderedDict()
        self._outboxes: dict[str, ReaderLine] = {}
        self._port = node.port(name)
        self._port.on(Submit, self._submit)
        self._port.on(Cancel, self._cancel)
        self._port.on(Tokens, self._tokens)
        node.members.on_leave.append(self._peer_left)

    def held(self) -> dict[str, int]:
        """What is held for requests: all zero when idle."""
        return {
            "streams": len(self._streams),
            "tasks": len(self._tasks),
            "line": len(self._line),
            "outputs": sum(line.in_flight for line in self._outboxes.values()),
            "requests": len(self.state.requests),
            "blocks": sum(chip.blocks_taken for chip in self.state.chips.values()),
        }

    def _deadline_ns(self) -> int:
        return self._node.clock.now() + self.settings.timeout_ns

    # -- admission and preparation -----------------------------------------------------------------

    async def _submit(self, message: Message[Submit]) -> Accepted:
        """Answered when the request is accepted: its prompt is known and fits. Outputs follow."""
        request = message.content.request
        self._admit(request)
        stream = Stream(request, message.source, self._tokenizer)
        stream.submitted_ns = self._node.clock.now()
        self._streams[request.request_id] = stream
        self.state.apply(RequestAdmitted(request.request_id))
        try:
            await self._prepare(stream)
            if stream.cancelled:
                raise Cancelled(f"{request.request_id} was cancelled before it began")
        except BaseException:
            self._leave(request.request_id)
            raise
        self._ends[request.request_id] = self._node.mailbox(8)
        self._tasks[request.request_id] = self._node.spawn(
            self._live(stream), f"request {request.request_id}"
        )
        return Accepted(len(stream.prompt_ids))

    def _admit(self, request: Request) -> None:
        settings = self.settings
        if self.draining:
            raise Draining("the cluster is draining: it finishes what it has and takes nothing new")
        if request.model != settings.model:
            text = f"the model {request.model!r} does not exist: {settings.model!r} is served here"
            raise NotFound(text, param="model")
        request.sampling.validate()
        if request.retrieval is not None:
            self.stores.get(request.retrieval.store)
        if request.request_id in self._streams:
            raise InvalidRequest(f"request id {request.request_id!r} is in use")
        if len(self._streams) >= settings.max_queue:
            text = f"{settings.max_queue} requests are inside already: try again later"
            raise QueueFull(text, retry_after_s=1)

    async def _prepare(self, stream: Stream) -> None:
        """Retrieve, render, tokenise, and check that it fits."""
        request = stream.request
        if request.retrieval is not None:
            begun_ns = self._node.clock.now()
            wanted = request.retrieval
            hits = await self.stores.search(
                wanted.store, retrieval_query(request), wanted.top_k, request.request_id
            )
            stream.passages = tuple(hit.text for hit in hits)
            stream.spend({"retrieval": self._node.clock.now() - begun_ns})
        ids = prompt_ids(request, stream.passages, self._tokenizer, self.settings.vocab)
        stream.prompt_ids = tuple(ids)
        check_length(request, len(stream.prompt_ids), self.settings.max_model_len)
        hashes: list[bytes] = []
        self._hasher.extend_hashes(hashes, stream.prompt_ids)
        num_prompt, max_tokens = len(stream.prompt_ids), request.sampling.max_tokens
        self.state.apply(RequestPrepared(request.request_id, num_prompt, max_tokens, tuple(hashes)))

    # -- one request -------------------------------------------------------------------------------

    async def _live(self, stream: Stream) -> None:
        """From accepted to ended; whatever happens, everything is let go and the reader hears
        the end.
        """
        request_id = stream.request.request_id
        begun_ns = self._node.clock.now()
        deadline_ns = stream.submitted_ns + (
            stream.request.deadline_ns or self.settings.deadline_ns
        )
        stream.begun = True
        try:
            if stream.cancelled:
                raise asyncio.CancelledError
            async with self._node.clock.deadline(deadline_ns):
                work = await self._place(stream)
                stream.spend({"queue": self._node.clock.now() - begun_ns})
                await self._port.call(
                    self.state.requests[request_id].prefill_chip,
                    work,
                    deadline_ns=self._deadline_ns(),
                    request_id=request_id,
                )
                error = await self._ends[request_id].get()
                if error is not None:
                    raise error
        except PerfuseError as error:
            self._say(stream.reader, [stream.end("error", to_body(error))])
        except asyncio.CancelledError:
            self._say(stream.reader, [stream.end("cancelled")])
            raise
        finally:
            self._let_go(stream)

    async def _place(self, stream: Stream) -> Prefill | Generate:
        """Choose chips and reserve room, in line while there is none; returns what the chip that
        prefills is told.
        """
        request_id = stream.request.request_id
        prompt_ids, sampling = stream.prompt_ids, stream.request.sampling
        while True:
            choice = None
            if self._is_next(request_id):
                choice = place(self.state, self.state.requests[request_id])
            if choice is not None:
                source, target = choice
                self.state.apply(RequestPlaced(request_id, source, target))
                if source == target:
                    self._step_out(request_id)
                    return Generate(prompt_ids, sampling)
                reply = await self._port.call(
                    target,
                    Reserve(prompt_ids, sampling),
                    deadline_ns=self._deadline_ns(),
                    request_id=request_id,
                )
                if reply.room:
                    self._step_out(request_id)
                    return Prefill(prompt_ids, sampling, target, reply.first_block)
                self.state.apply(PlacementRefused(request_id))
            self._check_chips()
            await self._wait_in_line(request_id)

    def _check_chips(self) -> None:
        for role in ("prefill", "decode"):
            if not any(c.alive and c.role in (role, "chip") for c in self.state.chips.values()):
                raise PeerDead(f"no {role} chip is left: nothing can be placed")

    def _is_next(self, request_id: str) -> bool:
        """First come, first served: while somebody is in line, only its head may try."""
        return not self._line or next(iter(self._line)) == request_id

    async def _wait_in_line(self, request_id: str) -> None:
        """Until something ended, or a while later: a chip may find room without anybody telling."""
        turn = self._line.setdefault(request_id, self._node.mailbox(1 << 12))
        later_ns = self._node.clock.now() + self.settings.timeout_ns // 16
        timer = self._node.clock.call_at(later_ns, lambda: turn.put(None))
        try:
            await turn.get_due()
        finally:
            timer.cancel()

    def _step_out(self, request_id: str) -> None:
        """Leave the line, and let the next one try."""
        self._line.pop(request_id, None)
        if self._line:
            next(iter(self._line.values())).put(None)

    def _let_go(self, stream: Stream) -> None:
        request_id = stream.request.request_id
        request = self.state.requests[request_id]
        for chip in dict.fromkeys((request.prefill_chip, request.decode_chip)):
            if chip and chip not in stream.finished_on and self.state.chips[chip].alive:
                self._node.spawn(self._abort(chip, request_id), f"abort {request_id}")
        self._leave(request_id)

    def _leave(self, request_id: str) -> None:
        self._streams.pop(request_id, None)
        self._tasks.pop(request_id, None)
        self._ends.pop(request_id, None)
        self.state.apply(RequestEnded(request_id))
        self._step_out(request_id)

    async def _abort(self, chip: str, request_id: str) -> None:
        """Until the chip has heard or is gone: what it holds for this request nobody else will
        take from it.
        """
        while self.state.chips[chip].alive:
            try:
                await self._port.call(
                    chip, Abort(), deadline_ns=self._deadline_ns(), request_id=request_id
                )
                return
            except PerfuseError as error:
                now_ns = self._node.clock.now()
                self._node.trace.note(now_ns, "abort failed", chip, error.message, request_id)
                if not isinstance(error, DeadlineExceeded):
                    return

    def _cancel(self, message: Message[Cancel]) -> WasCancelled:
        task = self._tasks.get(message.request_id)
        stream = self._streams.get(message.request_id)
        if stream is not None:
            stream.cancelled = True  # it may still be in preparation, or about to begin
            # A task that is cancelled before its first step never runs, not even to let go.
            if task is not None and stream.begun:
                task.cancel()
        return WasCancelled(stream is not None)

    # -- what chips say ----------------------------------------------------------------------------

    def _tokens(self, message: Message[Tokens]) -> None:
        for request_id, error in message.content.failed.items():
            self._end(request_id, from_body(error))
        self._sampled(message.source, message.content)

    def _sampled(self, chip: str, told: Tokens) -> None:
        """Tokens of one step of one chip: each goes to its stream, all outputs leave together."""
        outputs: dict[str, list[Output]] = {}
        for index, request_id in enumerate(told.requests):
            stream = self._streams.get(request_id)
            if stream is None:
                continue  # it ended here first: cancelled, stopped or out of time
            # What is told again, because the first answer was lost, counts once.
            stage = told.stages[index]
            if stage != "decode" and self.state.requests[request_id].prefilling:
                stream.num_cached = int(told.cached[index])
                self.state.apply(FirstTokenSampled(request_id))
                if stage == "prefill":
                    stream.spend(told.times[request_id])
                    stream.finished_on.append(chip)
            if request_id in told.finished:
                self._chip_finished(stream, chip, told.times[request_id])
            fresh = stream.push(
                int(told.position[index]),
                int(told.token[index]),
                told.logprobs.get(request_id),
                told.finished.get(request_id, ""),
                told.logits.get(request_id),
            )
            outputs.setdefault(stream.reader, []).extend(fresh)
            if stream.finish_reason:
                self._end(request_id, None)
        for reader, batch in outputs.items():
            self._say(reader, batch)

    def _chip_finished(self, stream: Stream, chip: str, times_ns: Mapping[str, int]) -> None:
        request = self.state.requests[stream.request.request_id]
        if chip == request.decode_chip and chip not in stream.finished_on:
            stream.finished_on.append(chip)
            stream.spend(times_ns)

    def _end(self, request_id: str, error: PerfuseError | None) -> None:
        ends = self._ends.get(request_id)
        if ends is not None and not len(ends):
            ends.put(error)

    def _say(self, reader: str, outputs: Sequence[Output | None]) -> None:
        if reader not in self._outboxes:
            self._outboxes[reader] = reader_line(
                self._node, self._port, reader, self.settings.timeout_ns
            )
        real = [output for output in outputs if output is not None]
        if real:
            self._outboxes[reader].put(real)

    def _peer_left(self, member: Member, reason: str) -> None:
        """Requests on a lost chip end with a clear error; what was placed elsewhere goes on."""
        for name, chip in self.state.chips.items():
            if chip.alive and self._node.members.node_of(name) == member.node:
                self.state.apply(ChipLost(name))
                for request_id, request in list(self.state.requests.items()):
                    if name in (request.prefill_chip, request.decode_chip):
                        self._end(request_id, PeerDead(f"{name} is gone: {reason}"))
