"""The demo's users ask over HTTP when the workload says."""

from collections.abc import Callable
from typing import Any

import pytest

from cluster.api.request import Request
from cluster.cli import demo_client
from cluster.cli.demo_client import ask_over_http
from cluster.workload.build import TimedRequest, Workload
from cluster.workload.driver import Answer
from workers.model.sampling_params import SamplingParams


def asked(monkeypatch: pytest.MonkeyPatch, workload: Workload) -> list[tuple[int, int]]:
    """(arrival, moment of asking) of each, in ms of the workload; an hour takes 3.6 s here."""
    found: list[tuple[int, int]] = []

    async def ask(
        client: Any, timed: TimedRequest, answer: Answer, at_ns: int, now: Callable[[], int]
    ) -> None:
        found.append((at_ns // 10**6, now() // 10**6))

    monkeypatch.setattr(demo_client, "_ask", ask)
    answers = ask_over_http("http://127.0.0.1:9", workload, 0.001, lambda answer: None)
    assert len(answers) == len(workload.requests)
    return sorted(found)


def test_an_open_load_asks_at_its_own_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 0 and at 100 s (0.1 s here); both were asked at once."""
    sampling = SamplingParams(max_tokens=1)
    requests = [
        TimedRequest(at_s * 10**9, Request(f"r{at_s}", "m", sampling, prompt="a"))
        for at_s in (0, 100)
    ]
    (first, _), (second, asked_ms) = asked(monkeypatch, Workload(tuple(requests)))
    assert (first, second) == (0, 100_000)
    assert asked_ms >= 100_000
