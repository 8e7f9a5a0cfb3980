"""What performs actions: tasks for calls and waits, lines to readers.

Nothing here is truth: all of it follows from the state, and a restarted router has it again by
performing what `RouterRestarted` leads to.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cluster.router.calls import Calls, owner_of
from cluster.router.ledger import Ledger
from cluster.router.machine import actions as act
from cluster.router.machine import events as of
from cluster.router.machine.actions import Action
from cluster.router.preparation import Preparation
from cluster.router.stores import Stores
from cluster.router.watch import Watch
from cluster.router.wire import Wire, fault_of
from workers.errors import PerfuseError
from workers.host.longest import Longest
from workers.host.mailbox import Mailbox
from workers.node import Node
from workers.wire.line import Line

Answer = act.Accept | act.Refuse
# They promise or take something, so the journal has to know first.
Promise = act.Accept | act.Reserve | act.Generate
# A head of the line that nobody wakes tries again after this share of a call's time.
WAIT_SHARE = 16


class Performer:
    """`perform` returns at once. What concerns this node alone is done by then, and answers and
    calls have begun, but for promises that the journal does not know yet.
    """

    def __init__(
        self,
        node: Node,
        wire: Wire,
        ledger: Ledger,
        preparation: Preparation,
        stores: Stores,
        timeout_ns: int,
        watch: Watch,
    ) -> None:
        self._node, self._wire, self._ledger = node, wire, ledger
        self._stores, self._timeout_ns = stores, timeout_ns
        self.calls = Calls(node, wire, ledger, stores, preparation, watch)
        self._answers: dict[str, Mailbox[Answer]] = {}
        self._deadlines: dict[str, asyncio.Task[None]] = {}
        self._lines: dict[str, Line[act.Said]] = {}
        self._room_wait: asyncio.Task[None] | None = None
        self._held_back: list[Action] | None = None
        self._longest_line = node.queues.setdefault("requests for KV room", Longest())
        ledger.perform = self.perform

    def answer_to(self, request_id: str) -> Mailbox[Answer]:
        """Where the answer to a submission will be put."""
        answer: Mailbox[Answer] = self._node.mailbox(1)
        self._answers[request_id] = answer
        return answer

    def expect_no_answer(self, request_id: str) -> None:
        """The submission came to nothing."""
        self._answers.pop(request_id, None)

    @property
    def num_awaited(self) -> int:
        """Submissions that have no answer yet."""
        return len(self._answers)

    def perform(self, actions: Sequence[Action]) -> None:
        self._longest_line.seen(len(self._ledger.state.line))
        for action in actions:
            if self._do_here(action):
                continue
            if self._held_back is not None:
                self._held_back.append(action)
            else:
                self._begin(action)

    @contextmanager
    def answer_first(self) -> Iterator[None]:
        """Answers and calls that follow from what happens inside begin at its end: whoever told of
        it is answered before anybody is asked anything new.
        """
        held_back: list[Action] = []
        self._held_back = held_back
        try:
            yield
        finally:
            self._held_back = None
            for action in held_back:
                self._begin(action)

    # -- what concerns this node alone -------------------------------------------------------------

    def _do_here(self, action: Action) -> bool:
        """False if it is not done here."""
        match action:
            case act.Say(reader, said):
                self._say(reader, said)
            case act.AwaitDeadline(request_id, deadline_ns):
                self._await_deadline(request_id, deadline_ns)
            case act.AwaitRoom():
                self._await_room()
            case act.Forget(request_id):
                self._forget(request_id)
            case act.Abandon(request_id, fault):
                self.calls.give_up(request_id)
                why = str(fault["message"])
                self._node.trace.note(self._node.clock.now(), "begun anew", "", why, request_id)
            case _:
                return False
        return True

    def _say(self, reader: str, said: Sequence[act.Said]) -> None:
        if reader not in self._lines:
            self._lines[reader] = self._wire.reader_line(reader, self._told)
        for one in said:
            self._lines[reader].put(one)

    def _told(self, reader: str, num_outputs: int, is_heard: bool) -> None:
        event = of.OutputsHeard if is_heard else of.OutputsLost
        self._ledger.happened(event(self._node.clock.now(), reader, num_outputs))

    def lose_reader(self, reader: str, epoch: int) -> None:
        """Nobody hears this incarnation's outputs any more."""
        line = self._lines.pop(reader, None)
        if line is not None:
            line.close()
        self._ledger.happened(of.ReaderLost(self._node.clock.now(), reader, epoch))

    def _await_deadline(self, request_id: str, deadline_ns: int) -> None:
        async def wait() -> None:
            await self._node.clock.wait_until(self._node.clock.deadline_floor(deadline_ns))
            del self._deadlines[request_id]  # before the event, which would cancel this task
            self._ledger.happened(of.DeadlinePassed(self._node.clock.now(), request_id))

        self._deadlines[request_id] = self._node.spawn(wait(), f"deadline of {request_id}")

    def _await_room(self) -> None:
        async def wait() -> None:
            await self._node.clock.wait_until(later_ns)
            self._room_wait = None
            if self._ledger.state.line:
                self._ledger.happened(of.LineWaited(self._node.clock.now()))

        if self._room_wait is not None:
            self._room_wait.cancel()
        later_ns = self._node.clock.now() + self._timeout_ns // WAIT_SHARE
        self._room_wait = self._node.spawn(wait(), "wait for room")

    def _forget(self, request_id: str) -> None:
        deadline = self._deadlines.pop(request_id, None)
        if deadline is not None:
            deadline.cancel()
        self.calls.give_up(request_id)

    # -- answers and calls -------------------------------------------------------------------------

    def _begin(self, action: Action) -> None:
        """A promise waits until the journal knows what it rests on."""
        if isinstance(action, Promise) and not self._ledger.is_committed:
            self._node.spawn(self._begin_safely(action), "promise")
        else:
            self._begin_now(action)

    async def _begin_safely(self, promise: Promise) -> None:
        try:
            await self._ledger.committed()
        except PerfuseError as error:
            self._break(promise, fault_of(error))
        else:
            self._begin_now(promise)

    def _break(self, promise: Promise, fault: of.Fault) -> None:
        """It can never be kept safely: whoever asked hears so, and the request ends."""
        request_id = _owner(promise)
        if isinstance(promise, act.Accept):
            self._answer(request_id, act.Refuse(request_id, fault))
        if request_id in self._ledger.state.requests:
            self._ledger.happened(of.RequestFailed(self._node.clock.now(), request_id, fault))

    def _begin_now(self, action: Action) -> None:
        match action:
            case act.Accept(request_id) | act.Refuse(request_id):
                self._answer(request_id, action)
            case act.Retrieve() | act.Prepare() | act.Reserve() | act.Prefill() | act.Generate():
                self.calls.begin(action)
            case act.Abort(chip, sequence_id):
                self.calls.abort(chip, sequence_id)
            case act.DropStore(store_id):
                self._stores.let_go(store_id)
            case act.DropPassages(store_id, first_id, num_passages):
                self._stores.additions.take_back(store_id, first_id, num_passages)
            case _:
                raise AssertionError(f"{action} is done at once")

    def _answer(self, request_id: str, answer: Answer) -> None:
        asked = self._answers.pop(request_id, None)
        if asked is not None:  # else an earlier incarnation was asked
            asked.put(answer)


def _owner(promise: Promise) -> str:
    """Whose request it is for."""
    return promise.request_id if isinstance(promise, act.Accept) else owner_of(promise)
