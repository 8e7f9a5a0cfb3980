"""A line streams: what is put leaves at once, all of it arrives, and whoever asks hears of it in
order.

The link has 1 byte/ns; its latency is 1 ms, a report 100 bytes: one that leaves at t is there at
t + 1,000,100, and acknowledged 1,000,064 later.
"""

from collections.abc import Callable, Sequence

import pytest

from tests.workers.bench import Bench, make_link
from tests.workers.wire.calls import Each, assert_idle
from tests.workers.wire.parcel import Parcel
from workers.wire import line as module
from workers.wire.line import Line
from workers.wire.message import Message
from workers.wire.rules import Delay, Drop, Pass, Verdict

LATENCY_NS = 1_000_000
STEP_NS = 10_000
TIMEOUT_NS = 20_000_000
Told = list[tuple[list[int], bool]]


class Heard:
    """Both ends: a line of numbers from a to b, when each report came, and what a was told."""

    def __init__(self, bench: Bench) -> None:
        self.reports: list[tuple[int, list[int]]] = []
        self.told: Told = []
        self._bench = bench
        bench.port("b").on(Parcel, self._arrived)
        self.line: Line[int] = Line(
            bench.node("a"),
            bench.port("a"),
            "b",
            "parcel",
            TIMEOUT_NS,
            lambda numbers: Parcel({"numbers": list(numbers)}, charged=100),
            self._on_told,
        )

    def _arrived(self, message: Message[Parcel]) -> None:
        self.reports.append((self._bench.clock.now(), message.content.body["numbers"]))

    def _on_told(self, numbers: Sequence[int], is_heard: bool) -> None:
        self.told.append((list(numbers), is_heard))

    @property
    def numbers(self) -> list[int]:
        return [number for _, report in self.reports for number in report]

    def told_of(self, is_heard: bool) -> list[int]:
        return [n for numbers, heard in self.told if heard is is_heard for n in numbers]


async def put(bench: Bench, heard: Heard, count: int, step_ns: int = STEP_NS) -> None:
    for number in range(count):
        heard.line.put(number)
        await bench.clock.wait_until(bench.clock.now() + step_ns)


def on_a_long_way(job: Callable[[Bench, Heard], object]) -> None:
    link = make_link(latency_ns=LATENCY_NS)
    bench = Bench("a", "b", links={"a": link, "b": link})

    async def run(bench: Bench) -> None:
        heard = Heard(bench)
        await job(bench, heard)  # type: ignore[misc]
        assert heard.line.in_flight == 0
        assert_idle(bench)

    bench.run(run)


def test_reports_leave_when_they_are_put_however_long_the_way() -> None:
    """200 of them, one every 10 us, are on their way before the first acknowledgement; each a
    report of its own.
    """

    async def job(bench: Bench, heard: Heard) -> None:
        await put(bench, heard, 300)
        await bench.clock.wait_until(10_000_000)
        assert heard.reports == [(n * STEP_NS + LATENCY_NS + 100, [n]) for n in range(300)]
        assert heard.told_of(True) == list(range(300))

    on_a_long_way(job)


def test_what_piles_up_behind_a_full_window_leaves_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three may be on their way: 0, 1 and 2 leave at once; the rest waits until 0 is acknowledged,
    at 2 x 1 ms + 164 ns, and leaves together.
    """
    monkeypatch.setattr(module, "WINDOW_MAX", 3)

    async def job(bench: Bench, heard: Heard) -> None:
        await put(bench, heard, 10)
        await bench.clock.wait_until(20_000_000)
        assert [report for _, report in heard.reports] == [[0], [1], [2], list(range(3, 10))]
        assert heard.reports[-1][0] == (2 * LATENCY_NS + 164) + LATENCY_NS + 100
        assert heard.told_of(True) == list(range(10))

    on_a_long_way(job)


def test_a_lost_report_holds_up_no_other_and_comes_in_the_end() -> None:
    """Report 3 is lost; the others come when they would have come."""

    async def job(bench: Bench, heard: Heard) -> None:
        rule = Each(lambda n, m: Drop() if n == 4 else Pass())
        bench.node("a").endpoint.rules["drop"] = rule
        await put(bench, heard, 20)
        await bench.clock.wait_until(100_000_000)
        others = [n for n in range(20) if n != 3]
        assert heard.reports[:19] == [(n * STEP_NS + LATENCY_NS + 100, [n]) for n in others]
        assert heard.reports[19][1] == [3]
        assert heard.told_of(True) == list(range(20)), "in order, though 3 came last"
        assert len(rule.seen) == 21

    on_a_long_way(job)


def test_what_a_bad_moment_cost_is_missed_together_and_not_one_after_the_other() -> None:
    """100 reports of 1 ms are lost. Each is overdue after its path there and back, 2 ms; those that
    left while the first was waited for, after that: all is there before 8 ms, not after 100 paths.
    """

    async def job(bench: Bench, heard: Heard) -> None:
        rule = Each(lambda n, m: Drop() if m.sent_ns < 1_000_000 else Pass())
        bench.node("a").endpoint.rules["drop"] = rule
        await put(bench, heard, 100)
        await bench.clock.wait_until(100_000_000)
        assert sorted(heard.numbers) == list(range(100))
        assert max(at_ns for at_ns, _ in heard.reports) < 8_000_000
        assert heard.told_of(True) == list(range(100)) and len(rule.seen) == 200

    on_a_long_way(job)


def test_a_delayed_report_is_late_by_its_delay_and_sent_once() -> None:
    async def job(bench: Bench, heard: Heard) -> None:
        rule = Each(lambda n, m: Delay(5_000_000) if n == 4 else Pass())
        bench.node("a").endpoint.rules["late"] = rule
        await put(bench, heard, 20)
        await bench.clock.wait_until(100_000_000)
        assert heard.reports[-1] == (3 * STEP_NS + LATENCY_NS + 100 + 5_000_000, [3])
        assert len(rule.seen) == 20

    on_a_long_way(job)


def test_whoever_never_answers_is_given_up_after_eight_calls_and_nothing_is_held() -> None:
    async def job(bench: Bench, heard: Heard) -> None:
        """The first alone, then those that left while it was waited for: twice eight timeouts."""
        bench.node("a").endpoint.rules["deaf"] = Each(_all_lost)
        await put(bench, heard, 5)
        await bench.clock.wait_until(16 * TIMEOUT_NS + 1_000_000)
        assert heard.numbers == [] and heard.told_of(False) == list(range(5))

    on_a_long_way(job)


def test_a_line_that_is_closed_lets_go_of_what_is_on_its_way() -> None:
    async def job(bench: Bench, heard: Heard) -> None:
        bench.node("a").endpoint.rules["deaf"] = Each(_all_lost)
        await put(bench, heard, 5)
        heard.line.close()
        await bench.clock.wait_until(bench.clock.now() + 1)
        assert_idle(bench)
        heard.line.in_flight = 0  # nobody asks a line that is closed

    on_a_long_way(job)


def _all_lost(number: int, message: Message) -> Verdict:
    return Drop()
