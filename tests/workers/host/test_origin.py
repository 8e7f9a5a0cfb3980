"""Emulated time 0 on machines that booted at different times."""

import time

import pytest

from workers.host.clock import origin
from workers.host.clock.origin import Origin


def test_on_its_own_machine_an_origin_is_exact() -> None:
    here = Origin.now()
    assert here.here_ns() == here.monotonic_ns


@pytest.mark.parametrize("boot_id", ["another machine's", ""])
def test_elsewhere_it_goes_by_unix_time(boot_id: str) -> None:
    """Ten seconds ago by Unix time is ten seconds ago here, whatever the other machine's monotonic
    clock said; so it is where machines do not say when they booted.
    """
    there = Origin(boot_id, 5, time.time_ns() - 10 * 10**9)
    ago_ns = time.monotonic_ns() - there.here_ns()
    assert 10 * 10**9 <= ago_ns < 10.5 * 10**9


def test_a_machine_that_does_not_say_when_it_booted_is_not_taken_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(origin, "_boot_id", lambda: "")
    here = Origin.now()
    assert here.boot_id == "" and abs(here.here_ns() - here.monotonic_ns) < 10**8
    assert abs(Origin("", 5, here.unix_ns).here_ns() - here.monotonic_ns) < 10**8
