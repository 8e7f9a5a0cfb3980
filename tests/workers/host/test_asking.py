"""Datagrams that tell the time: to whom, and what is believed."""

import secrets
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from workers.host.clock import asking
from workers.host.clock.asking import ANSWER_BYTES, NONCE_BYTES, QUESTION_BYTES, Asker, TimeServer

AHEAD_NS = 3 * 10**9
KEY = b"of this test"


@pytest.fixture
def server() -> Iterator[TimeServer]:
    started = TimeServer("127.0.0.1", KEY, lambda: time.monotonic_ns() + AHEAD_NS)
    yield started
    started.close()
    started.close()  # twice is once


def asker(server: TimeServer, key: bytes = KEY) -> Asker:
    return Asker("127.0.0.1", server.port, key)


def test_each_answer_is_as_exact_as_it_says(server: TimeServer) -> None:
    samples = asker(server).ask(20, time.monotonic_ns)
    assert len(samples) == 20
    for sample in samples:
        assert abs(sample.ahead_ns - AHEAD_NS) <= sample.error_ns


def test_who_does_not_know_the_secret_hears_nothing(
    server: TimeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ANSWER_S", 0.05)
    assert asker(server, b"another").ask(2, time.monotonic_ns) == []
    assert len(asker(server).ask(1, time.monotonic_ns)) == 1


def test_garbage_is_passed_over(server: TimeServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for length in (0, 1, NONCE_BYTES, QUESTION_BYTES - 1, QUESTION_BYTES, QUESTION_BYTES + 9):
            stranger.sendto(secrets.token_bytes(length), ("127.0.0.1", server.port))
    assert len(asker(server).ask(3, time.monotonic_ns)) == 3


def test_an_answer_to_another_question_is_not_believed() -> None:
    """Nor one that was changed on its way, nor one of another length."""
    one = Asker("127.0.0.1", 1, KEY)
    nonce = secrets.token_bytes(NONCE_BYTES)
    told = nonce + (77).to_bytes(8, "little")
    answer = told + asking._mac(KEY, b"answer", told)
    assert len(answer) == ANSWER_BYTES
    sample = one._sample(nonce, answer, 10, 20)
    assert sample is not None and (sample.at_ns, sample.ahead_ns, sample.error_ns) == (15, 62, 5)
    assert one._sample(secrets.token_bytes(NONCE_BYTES), answer, 10, 20) is None
    assert one._sample(nonce, answer[:-1] + b"\0", 10, 20) is None or answer[-1:] == b"\0"
    assert one._sample(nonce, answer[:-1], 10, 20) is None
    assert one._sample(nonce, answer + b"\0", 10, 20) is None


class Arriving:
    """A socket on which these arrive, then nothing."""

    def __init__(self, *told: bytes) -> None:
        self._told = list(told)

    def settimeout(self, _: float) -> None:
        """What arrives is there."""

    def recv(self, _: int) -> bytes:
        if not self._told:
            raise TimeoutError
        return self._told.pop(0)


def test_an_answer_that_comes_late_takes_no_others_place() -> None:
    def answer(nonce: bytes, own_ns: int) -> bytes:
        told = nonce + own_ns.to_bytes(8, "little")
        return told + asking._mac(KEY, b"answer", told)

    one, late, asked = Asker("127.0.0.1", 1, KEY), b"l" * NONCE_BYTES, b"a" * NONCE_BYTES
    arriving: Any = Arriving(answer(late, 5), answer(asked, 77))
    (sample,) = one._answer(arriving, asked, 10, lambda: 20)
    assert sample.ahead_ns == 62
    assert one._answer(arriving, asked, 10, lambda: 20) == []
