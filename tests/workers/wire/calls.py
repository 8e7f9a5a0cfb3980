"""What tests of calls share: a rule that asks a function, an echo, and a look at what is open."""

from collections.abc import Callable

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.wire.parcel import Parcel
from workers.wire.endpoint import Endpoint
from workers.wire.message import Message
from workers.wire.rules import Verdict


class Each:
    """A rule that asks a function about every message; keeps what it saw."""

    def __init__(self, verdict: Callable[[int, Message], Verdict]) -> None:
        self._verdict = verdict
        self.seen: list[Message] = []

    def judge(self, source: str, destination: str, message: Message) -> Verdict:
        self.seen.append(message)
        return self._verdict(len(self.seen), message)


def assert_idle(bench: Bench) -> None:
    for node in bench.nodes.values():
        endpoint: Endpoint = node.endpoint
        assert endpoint.outgoing.in_flight() == 0, node.name
        assert not any(endpoint.credits_taken().values()), node.name


def echo(bench: Bench, worker: str = "b") -> list[int]:
    """`worker` answers "double" with twice the number; returns what it was asked."""
    asked: list[int] = []

    def double(message: Message[Parcel]) -> Parcel:
        asked.append(message.content.body["x"])
        return Parcel({"x": 2 * message.content.body["x"]})

    bench.port(worker).on(Parcel, double)
    return asked


async def double(bench: Bench, x: int, within_ns: int = SECOND_NS, source: str = "a") -> int:
    deadline_ns = bench.clock.now() + within_ns
    reply = await bench.port(source).call("b", Parcel({"x": x}), deadline_ns=deadline_ns)
    answer: int = reply.body["x"]
    return answer
