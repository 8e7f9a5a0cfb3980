"""What a crowd hears is counted as what it is, and each bar of overload over HTTP can fail."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from benchmarks.chaos.crowd import Crowd, Heard
from benchmarks.chaos.leaks import Held
from benchmarks.chaos.overload import Size, steady
from benchmarks.chaos.overload_local import Came, rows_of
from tests.benchmarks.served import Quiet, served

# Status and Retry-After, in turn.
ANSWERS = ((200, None), (429, "3"), (504, None), (429, None), (500, None))


class _Answers(Quiet, BaseHTTPRequestHandler):
    asked: list[str | None]
    lock = threading.Lock()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        with self.lock:
            status, after = ANSWERS[len(self.asked) % len(ANSWERS)]
            self.asked.append(self.headers["x-request-timeout"])
        self.send_response(status)
        if after is not None:
            self.send_header("retry-after", after)
        self.send_header("content-length", "0")
        self.end_headers()


@pytest.fixture
def url() -> Iterator[str]:
    _Answers.asked = []
    with served(_Answers) as url:
        yield url


async def _crowds(url: str) -> tuple[Heard, Heard]:
    crowd = Crowd(url)
    try:
        closed, took_s = await crowd.closed(users=2, requests=10)
        assert took_s > 0
        return closed, await crowd.open(rate=200.0, seconds=0.1, deadline_s=0.005, seed=1)
    finally:
        await crowd.close()


def test_each_answer_is_counted_once_as_what_it_is(url: str) -> None:
    closed, opened = asyncio.run(_crowds(url))
    assert len(closed.begun_s) == 10
    assert len(closed.good_s) == closed.num_late == len(closed.other) == 2
    assert sorted(closed.refused, key=str) == [3.0, 3.0, None, None]
    assert closed.good_between(0, closed.good_s[0]) == 1
    assert closed.begun_between(closed.begun_s[0], closed.begun_s[-1]) == 10
    assert set(_Answers.asked[:10]) == {None}
    assert set(_Answers.asked[10:]) == {"0.005000000"} and opened.begun_s


def test_the_steady_rate_leaves_out_how_users_come_and_go() -> None:
    # Two a second in the middle of 16 answers; slow at first and at the end.
    ended = [0.0, 5.0, 10.0, 15.0, *(20 + i / 2 for i in range(11)), 60.0]
    assert steady(ended) == 2.0


def test_a_slow_cluster_has_a_deadline_as_far_away() -> None:
    size = Size(slow=1_000, over_s=2.0)
    assert size.deadline_ns == 5_000_000_000
    assert size.num_over(rate=7.5) == 15
    slow = {node.name: node.slow for node in size.blueprint().plan.nodes if node.slow != 1}
    assert slow == dict.fromkeys(
        ("prefill-0", "decode-0", "decode-1", "experts-0", "experts-1"), 1_000
    )


def test_each_bar_of_overload_over_http_can_fail() -> None:
    over = Heard(good_s=[1.0], refused=[3.0, 60.0])
    before = Held(0.0, {("a", 1): 100}, {})
    right = Came(10.0, 0.5, over, 9.5, 99.0, 60.0, before, Held(1.0, {("a", 1): 105}, {}))
    assert all(row.holds for row in rows_of(right))
    over = Heard(good_s=[1.0], refused=[3.0, None], other=["500: no"])
    after = Held(1.0, {("a", 1): 150}, {})
    wrong = Came(10.0, 0.8, over, 8.0, 90.0, 60.0, before, after)
    held = {row.name for row in rows_of(wrong) if row.holds and row.bar != "-"}
    assert not held, held
