"""A clock that is not the system's own."""

import time

import pytest

from workers.host.clock.source import SKEW, ClockSource


def test_without_a_word_it_is_the_system_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SKEW, raising=False)
    assert ClockSource.of_environment() == ClockSource()
    assert ClockSource().read is time.monotonic_ns and ClockSource().system_ns(12) == 12


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("3 s", ClockSource(3 * 10**9, 0)),
        ("3 s, 200 ppm", ClockSource(3 * 10**9, 200)),
        ("-1.5 ms -20.5 ppm", ClockSource(-1_500_000, -20.5)),
        ("200 ppm", ClockSource(0, 200)),
    ],
)
def test_what_is_said_is_shown(
    said: str, source: ClockSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SKEW, said)
    assert ClockSource.of_environment() == source


@pytest.mark.parametrize("said", ["3", "three s", "3 s 200", "3 s, 200 ppm, more", "200000 ppm"])
def test_what_says_nothing_is_named(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SKEW, said)
    with pytest.raises(ValueError, match=f"{SKEW}|duration"):
        ClockSource.of_environment()


def test_it_is_ahead_and_fast_as_it_says_and_knows_the_system_s_time() -> None:
    source = ClockSource(3 * 10**9, 200)
    before_ns, shown_ns, after_ns = time.monotonic_ns(), source.read(), time.monotonic_ns()
    low, high = (ns + 3 * 10**9 + ns * 200 // 10**6 for ns in (before_ns, after_ns))
    assert low - 1 <= shown_ns <= high + 1
    assert before_ns - 2 <= source.system_ns(shown_ns) <= after_ns + 2


def test_only_who_reads_the_same_clock_has_its_identity() -> None:
    assert ClockSource().identity == ClockSource().identity != ""
    assert ClockSource().identity != ClockSource(1).identity != ClockSource(1, 5.0).identity
