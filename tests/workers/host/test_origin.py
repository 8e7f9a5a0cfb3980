"""Emulated time 0 on machines that have clocks of their own."""

import time

import pytest

from workers.host.clock import source
from workers.host.clock.origin import Origin
from workers.host.clock.source import SKEW, ClockSource


def test_on_its_own_machine_an_origin_is_exact() -> None:
    before_ns = time.monotonic_ns()
    here = Origin.now()
    assert here.is_here and before_ns <= here.monotonic_ns <= time.monotonic_ns()


def test_another_machine_s_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Origin.now()
    assert not Origin("another machine's", here.monotonic_ns).is_here
    monkeypatch.setenv(SKEW, "1 ms")
    assert not here.is_here, "the same machine by another clock"
    assert Origin.now().is_here


def test_a_machine_that_does_not_say_when_it_booted_is_not_taken_for_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr(source, "BOOT_ID", tmp_path / "none")
    assert ClockSource().identity == ""
    assert not Origin.now().is_here and not Origin("", 5).is_here
