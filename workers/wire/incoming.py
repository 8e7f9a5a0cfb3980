"""The calls that a node answers: handlers run at most once, and answers are remembered for whoever
asks again.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from workers.errors import PeerDead, PerfuseError, to_body
from workers.host.clock.base import Clock
from workers.host.trace import Trace
from workers.wire.calls import Handled, Handler, Outcome
from workers.wire.kind import Failed, Kind, Reply
from workers.wire.kinds.notes import Missing
from workers.wire.message import Message
from workers.wire.peer import Peer

if TYPE_CHECKING:
    import asyncio

Send = Callable[[Message[Any], Peer], Awaitable[None] | None]
Spawn = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]
DONE = Reply()


class Incoming:
    """Handlers of one node's workers, and what they answered."""

    def __init__(
        self,
        clock: Clock,
        trace: Trace,
        send: Send,
        spawn: Spawn,
        on_bug: Callable[[str, BaseException], None],
    ) -> None:
        self._clock, self._trace, self._send = clock, trace, send
        self._spawn, self._on_bug = spawn, on_bug
        self._handlers: dict[tuple[str, str], Handler] = {}
        # Of a node whose workers do not stand yet: calls that came before. Credits bound them.
        self._early: list[tuple[Peer, Message[Any]]] | None = None
        self.num_unheard = 0  # answers whose asker was gone

    def handle(self, worker: str, kind: type[Kind[Any]], handler: Handler) -> None:
        key = (worker, kind.kind)
        assert key not in self._handlers, f"{worker} already handles {kind.kind}"
        self._handlers[key] = handler

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """(worker, kind) -> handler."""
        return dict(self._handlers)

    def hold(self) -> None:
        """Nobody stands here yet: calls for workers who are not there wait until `open`."""
        self._early = []

    def open(self) -> None:
        """All workers stand: take what came before they did."""
        early, self._early = self._early or [], None
        for peer, message in early:
            self.called(peer, message)

    def called(self, peer: Peer, message: Message[Any]) -> None:
        """Run the handler, unless this is a repetition."""
        message.caller = peer
        handler = self._handlers.get((message.destination, message.content.kind))
        if handler is None and self._early is not None:
            self._early.append((peer, message))
            return
        if not peer.remembered.begin(message.message_id, message.concluded):
            self._answer_again(peer, message.message_id)
            return
        if handler is None:
            text = f"{message.destination} does not understand {message.kind!r}"
            self._answer_error(message, PerfuseError(text))
            return
        try:
            outcome = handler(message)
        except PerfuseError as error:
            self._answer_error(message, error)
            return
        except Exception as error:
            # What no handler should raise: the caller hears of it, and so does whoever watches the
            # node.
            self._answer_error(message, error)
            self._on_bug(f"{message.destination}:{message.kind}", error)
            return
        if outcome is Handled.LATER:
            return
        if isinstance(outcome, Awaitable):
            self._spawn(self._finish(message, outcome), f"{message.destination}:{message.kind}")
        elif message.deadline_ns:
            assert not isinstance(outcome, Handled)
            self.reply(message, outcome or DONE)

    async def _finish(self, message: Message[Any], outcome: Awaitable[Outcome]) -> None:
        try:
            answer = await outcome
        except PerfuseError as error:
            self._answer_error(message, error)
            return
        except Exception as error:
            self._answer_error(message, error)
            raise
        if not isinstance(answer, Handled) and message.deadline_ns:
            self.reply(message, answer or DONE)

    def _answer_again(self, peer: Peer, message_id: int) -> None:
        answer = peer.remembered.answer_to(message_id)
        if answer is not None:
            again = answer.again()
            again.message_id = again.deadline_ns = 0
            peer.remembered.answered(message_id, again)
            self._answer(again, peer)

    def overdue(self, peer: Peer, message_id: int) -> Missing | None:
        """A caller waits longer than it thought it would. None if all it can do is wait: the call
        is on its way, or here and not answered.
        """
        if message_id in peer.arriving or self._waits(peer, message_id):
            return None
        if not peer.remembered.knows(message_id):
            return Missing(message_id, 0)
        answer = peer.remembered.answer_to(message_id)
        if answer is None or self._clock.now() < answer.deadline_ns:
            return None
        return Missing(message_id, answer.message_id)

    def _waits(self, peer: Peer, message_id: int) -> bool:
        """Whether the call has come before the workers stand."""
        early = self._early or ()
        return any(who is peer and one.message_id == message_id for who, one in early)

    def reply(self, message: Message[Any], content: Kind[Any]) -> None:
        """Answer a call. The asker being gone is not the answerer's problem."""
        self._answer(self.keep(message, content), message.caller)

    def keep(self, message: Message[Any], content: Kind[Any], until_ns: int = 0) -> Message[Any]:
        """The answer to a call, for whoever asks again. `until_ns`: before that it may be on its
        way by somebody else.
        """
        peer = message.caller
        assert isinstance(peer, Peer), "only what was received is answered"
        answer = Message(
            content,
            message.destination,
            message.source,
            message.request_id,
            until_ns,
            message.message_id,
        )
        peer.remembered.answered(message.message_id, answer)
        return answer

    def give(self, answer: Message[Any], message: Message[Any]) -> None:
        """Send an answer that was kept."""
        self._answer(answer, message.caller)

    def _answer(self, answer: Message[Any], peer: Peer) -> None:
        try:
            turn = self._send(answer, peer)
        except PeerDead:
            self.num_unheard += 1
        else:
            if turn is not None:
                self._spawn(self._in_turn(turn), "answer")

    async def _in_turn(self, turn: Awaitable[None]) -> None:
        try:
            await turn
        except PeerDead:
            self.num_unheard += 1

    def _answer_error(self, message: Message[Any], error: Exception) -> None:
        text = f"{message.destination}: {error}"
        self._trace.note(self._clock.now(), "error", message.kind, text)
        if message.deadline_ns:
            self.reply(message, Failed(to_body(error)))
