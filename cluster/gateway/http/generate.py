"""Running one generation and writing its answer, with an eye on whether the client is still there.

    work   pulls outputs from the cluster and writes them      whichever ends first
    gone   waits for the client's connection to close          ends the other

The status line waits for the first output, so that a refusal (429, 404, too long ...) has its own
status even where a stream was asked for. An error after that is an SSE event with an `error`
object, followed by [DONE].
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cluster.gateway.answer import Writer
from cluster.gateway.desk import Desk
from cluster.gateway.errors import REFUSALS, is_internal, reply
from cluster.gateway.generation import Generation
from cluster.gateway.http.connection import CONNECTION
from cluster.gateway.http.events import STREAM_START, Events
from cluster.gateway.http.shell import ErrorResponse
from cluster.gateway.merge import merged
from cluster.gateway.meter import Meter
from cluster.gateway.naming import Name
from cluster.gateway.progress import Progress
from cluster.gateway.resume import Resumption, TakenOver
from cluster.gateway.unread import Unread
from workers.errors import CorruptMessage, Draining, PerfuseError

log = logging.getLogger(__name__)

# A client that is told of the end takes one event at once, or is not there to take it.
_LAST_WORDS_S = 1.0

# Of writing one token with its probability, or one alternative, into an answer: 2 us. ASSUMED.
OPERATIONS_PER_PART = 2_000
# A long answer is handed to the socket in pieces, each as the one before has left.
PIECE_BYTES = 1 << 18


class GenerationResponse(Response):
    """Owns the submissions: when `__call__` ends, all of them are closed."""

    def __init__(
        self,
        desk: Desk,
        generation: Generation,
        answer: Writer,
        name: Name,
        start_ns: int,
        is_served: bool,
        resumption: Resumption | None = None,
    ) -> None:
        """is_served    the model exists, so its name may be counted under
        resumption   of a request that its client has named
        """
        super().__init__()
        self._desk = desk
        self._generation = generation
        self._name = name
        self._answer, self._events = answer, Events(answer, resumption)
        requests = generation.requests
        self._progress: Sequence[Progress] = [
            Progress(keep=not generation.stream) for _ in requests
        ]
        model = desk.metrics.model(generation.model) if is_served else None
        self._meters = [Meter(desk.metrics, generation.model, start_ns, model) for _ in requests]
        self._num_writes = 0
        self._writing = False
        self._started = False
        self._complete = False
        self._given_up = ""
        self._resumption = resumption
        self._is_taken_over = False
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._desk.check_admits()
            if (asked := self._resumption) is not None:
                self._desk.names.enter(self._name.public, asked.of, self._take_over)
        except PerfuseError as error:
            await ErrorResponse(error, self._name.public)(scope, receive, send)
            return
        work = self._task = asyncio.create_task(self._work(scope, receive, send))
        gone = asyncio.create_task(disconnected(receive))
        self._desk.enter(self._name.unique, work)
        try:
            present = await self._watch(work, gone)
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
            self._abandon("abort")
            self._desk.leave(self._name.unique)
            self._desk.names.leave(self._name.public, self._take_over)
        if self._given_up:
            self._give_up(scope)
        elif not work.cancelled():
            work.result()
        elif present and (ended := self._ended_by()) is not None:
            try:
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._fail(ended, scope, receive, send)
            except TimeoutError:
                log.warning("request %s: the client does not read", self._name.unique)

    def _take_over(self) -> None:
        """Its client has sent the request again: the answer is told there."""
        self._is_taken_over = True
        if self._task is not None:
            self._task.cancel()

    def _ended_by(self) -> PerfuseError | None:
        """What ended it from here, while its client was still there."""
        if self._is_taken_over:
            return TakenOver("the request was sent again, and its answer goes to the later reader")
        if self._desk.ending:
            return Draining("the gateway shut down before this answer was complete")
        return None

    async def _watch(self, work: asyncio.Task[None], gone: asyncio.Task[None]) -> bool:
        """Wait for the end of either; whether the client was still there, and reading."""
        while True:
            before = self._num_writes
            done, _ = await asyncio.wait(
                (work, gone),
                timeout=self._desk.settings.stall_timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if done:
                return gone not in done
            # A timer for each write would cost more than the write: look now and then instead.
            if self._writing and self._num_writes == before:
                self._given_up = "time"
                return False

    def _give_up(self, scope: Scope) -> None:
        """What is unsent is of no use to a client that does not read it."""
        log.warning("request %s: the client does not read", self._name.unique)
        self._desk.metrics.given_up.labels(self._given_up).inc()
        if CONNECTION in scope:
            scope[CONNECTION].abort()

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._run(scope, send)
        except Exception as error:
            self._abandon("" if isinstance(error, REFUSALS) else "error")
            await self._fail(error, scope, receive, send)

    async def _run(self, scope: Scope, send: Send) -> None:
        if not self._generation.stream:
            await self._follow(None, None)
            await self._send_whole(await self._whole(), send)
            return
        if CONNECTION in scope:
            scope[CONNECTION].is_stream = True
        limits = self._desk.settings
        end = partial(self._too_much_waits, asyncio.current_task())
        unread = Unread(self._desk.unread, limits.max_unread_bytes, end)
        try:
            await self._follow(send, unread)
        finally:
            unread.close()

    def _too_much_waits(self, work: "asyncio.Task[None] | None") -> None:
        assert work is not None, "a task runs this"
        self._given_up = "bytes"
        work.cancel()

    async def _follow(self, send: Send | None, unread: Unread | None) -> None:
        """All outputs, each sent as it comes if it is to be `send`."""
        num_open = len(self._progress)
        requests = self._generation.requests
        async with aclosing(merged(self._desk.client, requests, unread)) as outputs:
            async for index, output in outputs:
                # First the checks: an output that is an error is no output to meter.
                self._progress[index].add(output)
                self._meters[index].output(output, self._desk.now_ns())
                num_open -= bool(output.finish_reason)
                if send is not None:
                    chunk = self._events.chunk(index, output, self._progress)
                    await self._write(chunk, num_open == 0, send)
        if num_open:
            raise CorruptMessage(f"{num_open} choices ended without a finish reason")

    async def _whole(self) -> bytes:
        self._started = self._complete = True
        answer, progress = self._answer, self._progress
        self._progress = ()  # may be large, and is written once
        size = sum(one.num_parts for one in progress) * OPERATIONS_PER_PART
        return await self._desk.aside.run(size, lambda: answer.whole(progress))

    async def _send_whole(self, body: bytes, send: Send) -> None:
        length = str(len(body)).encode("ascii")
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for start in range(0, len(body), PIECE_BYTES):
            piece, more = body[start : start + PIECE_BYTES], start + PIECE_BYTES < len(body)
            self._num_writes += 1
            self._writing = True
            await send({"type": "http.response.body", "body": piece, "more_body": more})
            self._writing = False

    async def _write(self, chunk: bytes | None, last: bool, send: Send) -> None:
        """Send a chunk, and with the last one all that follows it: one write, one wake-up. The
        status line waits for what the client does not have.
        """
        if chunk is None and not last:
            return
        if not self._started:
            self._started = True
            await send(dict(STREAM_START))
        data = chunk or b""
        if last:
            self._complete = True
            data += self._events.tail(self._progress)
        if data or last:  # a client that had all of it hears the end
            self._num_writes += 1
            self._writing = True
            await send({"type": "http.response.body", "body": data, "more_body": not last})
            self._writing = False

    async def _fail(self, error: BaseException, scope: Scope, receive: Receive, send: Send) -> None:
        if self._complete:
            log.error("request %s failed after its answer", self._name.unique, exc_info=error)
        elif not self._started:
            await ErrorResponse(error, self._name.public)(scope, receive, send)
        else:
            if is_internal(error):
                log.error("request %s failed", self._name.unique, exc_info=error)
            self._complete = True
            event = self._answer.error(reply(error, self._name.public).body)
            await send({"type": "http.response.body", "body": event})

    def _abandon(self, reason: str) -> None:
        """See Meter."""
        for meter in self._meters:
            meter.abandon(reason)


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
