"""Reports that must all arrive: they stream to one receiver, and none waits until another is heard.

    put ─▶ waiting ─▶ on their way, at most WINDOW_MAX ─▶ heard, or given up
              └── pile up while the window is full, and leave as one report then

The receiver knows positions: it puts in order what overtook a report that was lost, and takes each
position once. Telling again does no harm.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, TypeVar

from workers.errors import DeadlineExceeded, PerfuseError
from workers.host.credits import Credits
from workers.host.mailbox import Mailbox
from workers.node import Node
from workers.wire.calls import Pending
from workers.wire.kind import Kind
from workers.wire.port import Port

T = TypeVar("T")
# Reports that the receiver may be behind before whoever makes them waits.
BEHIND_MAX = 1 << 16
# A call repeats itself within its deadline; a receiver that answers none of so many calls is gone.
CALLS_MAX = 8
# Reports on their way, so many that no path shows: two chips that step every 15 us over links of
# 1 ms have 270 between them and the last acknowledgement. Half of a peer's credits: other calls
# find some.
WINDOW_MAX = 512


@dataclass(slots=True)
class _Sent(Generic[T]):
    """Items that went as one report; `pending` None: nothing more will come of it."""

    items: Sequence[T]
    report: Kind[Any]
    pending: Pending[Any] | None
    is_heard: bool = False


def _all_at_once(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items,)


def _nobody_asks(items: Sequence[Any], is_heard: bool) -> None:
    """What became of them."""


class Line(Generic[T]):
    """A line from this worker to one receiver.

    cut       parts all that waits, in order, into what one report may hold
    pack      turns that into a report
    on_told   told of items that were heard (True) or given up (False), the oldest first
    """

    def __init__(
        self,
        node: Node,
        port: Port,
        receiver: str,
        kind: str,
        timeout_ns: int,
        pack: Callable[[Sequence[T]], Kind[Any]],
        on_told: Callable[[Sequence[T], bool], None] = _nobody_asks,
        cut: Callable[[Sequence[T]], Iterable[Sequence[T]]] = _all_at_once,
    ) -> None:
        self._node, self._port, self._receiver, self._kind = node, port, receiver, kind
        self._timeout_ns, self._pack, self._on_told = timeout_ns, pack, on_told
        self._cut = cut
        self._waiting: Mailbox[T] = node.mailbox(BEHIND_MAX, queue=f"{kind} to {receiver}")
        self._window = Credits(node.clock, WINDOW_MAX)
        self._fresh: Mailbox[_Sent[T]] = node.mailbox()
        self._unheard: list[_Sent[T]] = []
        self.in_flight = 0
        self._tasks = [
            node.spawn(self._send(), f"{kind} to {receiver}"),
            node.spawn(self._hear(), f"{kind} heard by {receiver}"),
        ]

    def put(self, item: T) -> None:
        """Queue it; never waits."""
        self._waiting.put(item)
        self.in_flight += 1

    def close(self) -> None:
        """Nobody listens any more."""
        for task in self._tasks:
            task.cancel()
        for sent in self._unheard:
            if sent.pending is not None:
                sent.pending.abandon()

    async def room(self) -> None:
        """Wait while the receiver is too far behind: whoever makes reports makes none meanwhile."""
        await self._waiting.room()

    async def _send(self) -> None:
        await self._window.wait()
        while True:
            for items in self._cut(await self._waiting.get_due()):
                report = self._pack(items)
                sent = _Sent(items, report, await self._post(report))
                self._unheard.append(sent)
                self._fresh.put(sent)
                await self._window.wait()

    async def _post(self, report: Kind[Any]) -> Pending[Any] | None:
        deadline_ns = self._node.clock.now() + self._timeout_ns
        try:
            return await self._port.post(self._receiver, report, deadline_ns=deadline_ns)
        except PerfuseError as gone:
            self._lost(gone.message)
            return None

    async def _hear(self) -> None:
        """All that is on its way together: what a bad moment cost is missed at once."""
        while True:
            told = await self._fresh.get_due()
            await self._until_heard(told)
            del self._unheard[: len(told)]
            for _ in told:
                self._window.give()
            for is_heard, some in groupby(told, lambda one: one.is_heard):
                items = [item for one in some for item in one.items]
                self.in_flight -= len(items)
                self._on_told(items, is_heard)

    async def _until_heard(self, told: Sequence[_Sent[T]]) -> None:
        """What nobody answers in time is said again."""
        for _ in range(CALLS_MAX - 1):
            late = await self._late(told)
            if not late:
                return
            for one in late:
                one.pending = await self._post(one.report)
            told = late
        for _ in await self._late(told):
            self._lost(f"{CALLS_MAX} calls were not answered in time")

    async def _late(self, told: Sequence[_Sent[T]]) -> list[_Sent[T]]:
        """Wait for what comes of these; returns those that were not answered in time."""
        await self._port.settled([one.pending for one in told if one.pending is not None])
        late = []
        for one in told:
            pending, one.pending = one.pending, None
            if pending is None:
                continue
            try:
                pending.take()
                one.is_heard = True
            except DeadlineExceeded:
                late.append(one)
            except PerfuseError as gone:
                self._lost(gone.message)
        return late

    def _lost(self, why: str) -> None:
        """Nobody is there to hear it, and who waited for it ends by its own deadline."""
        self._node.trace.note(self._node.clock.now(), f"lost {self._kind}", self._receiver, why)
