"""What one event leads to: the state that it changes, and the actions that follow, in order."""

from collections.abc import Sequence

from cluster.router.machine.actions import Action, Said, Say
from cluster.router.machine.events import ImpossibleEvent
from cluster.router.machine.stages import Stage
from cluster.router.machine.state import Outbox, RequestState, RouterState
from cluster.router.machine.text import Texts


class Turn:
    """A transition checks first, with the methods that may raise, and only then changes."""

    def __init__(self, state: RouterState, texts: Texts, at_ns: int) -> None:
        self.state, self.texts, self.at_ns = state, texts, at_ns
        self.actions: list[Action] = []

    # -- checks: they raise ImpossibleEvent and change nothing -------------------------------------

    def check(self, possible: object, why: str) -> None:
        if not possible:
            raise ImpossibleEvent(why)

    def request(self, request_id: str) -> RequestState:
        request = self.state.requests.get(request_id)
        if request is None:
            raise ImpossibleEvent(f"there is no request {request_id!r}")
        return request

    def request_in(self, request_id: str, stage: type[Stage]) -> RequestState:
        """The request, if this is its present stage."""
        request = self.request(request_id)
        now = type(request.stages[0])
        self.check(now is stage, f"{request_id} is {now.__name__}, not {stage.__name__}")
        return request

    # -- changes -----------------------------------------------------------------------------------

    def do(self, action: Action) -> None:
        self.actions.append(action)

    def say(self, reader: str, reader_epoch: int, said: Sequence[Said]) -> None:
        """Outputs are the state's until the reader has acknowledged them."""
        if said:
            outbox = self.state.outboxes.setdefault(reader, Outbox(reader_epoch))
            outbox.said.extend(said)
            self.do(Say(reader, tuple(said)))
