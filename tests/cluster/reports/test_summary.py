"""Figures by hand: each formula on answers small enough to compute in one's head."""

from typing import Any

import pytest

from cluster.reports.summary import overrun_fraction, percentile, summarise
from cluster.reports.tables import comparison, duration
from cluster.workload.driver import Answer
from configs.schema import SloSection


def answer(number: int, ttft_ns: int, e2e_ns: int, tokens: int, **more: Any) -> Answer:
    made = Answer(f"request-{number}", "yes", "yes", num_output_tokens=tokens)
    made.submitted_ns, made.ttft_ns, made.e2e_ns = number * 1000, ttft_ns, e2e_ns
    made.finish_reason = "stop"
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_the_definitions_are_vllm_s() -> None:
    answers = [answer(0, 10_000, 50_000, 5), answer(1, 20_000, 50_000, 4, text="no")]
    summary = summarise(answers)
    assert summary.ttft_us_p50 == 15.0
    assert summary.tpot_us_p50 == 10.0  # (50 - 10) / 4 and (50 - 20) / 3
    assert summary.e2e_us_p50 == 50.0
    assert summary.tokens_per_s == pytest.approx(
        9 / 51e-6
    )  # from the first's start to the last's end
    assert summary.accuracy == 0.5


def test_phases_and_delivery_add_up_to_the_whole() -> None:
    times = {"queue": 1_000, "prefill": 9_000, "attention": 20_000}
    summary = summarise([answer(0, 10_000, 50_000, 5, times_ns=times)])
    assert summary.phases_us["delivery"] == 20.0
    assert sum(summary.phases_us.values()) == 50.0


def test_preemption_is_shown_where_somebody_was_preempted() -> None:
    """The wait of one of two, 10 us, is 5 us on average."""
    times = {"queue": 1_000, "preempted": 10_000}
    answers = [answer(0, 10_000, 50_000, 5, times_ns=times), answer(1, 10_000, 50_000, 5)]
    pressed, other = summarise(answers, preemptions=3), summarise(answers[1:])
    assert (pressed.phases_us["preempted"], "preempted" in other.phases_us) == (5.0, False)
    for summaries, expected in (({"a": pressed, "b": other}, 2), ({"b": other}, 0)):
        cells = comparison("t", summaries, {}).columns[0].cells
        assert len([cell for cell in cells if "preempt" in str(cell)]) == expected


def test_goodput_counts_who_met_every_promise() -> None:
    slo = SloSection.model_validate({"ttft": "15 us", "tpot": "10 us"})
    late, good = answer(0, 20_000, 50_000, 4), answer(1, 10_000, 50_000, 5)
    assert summarise([late, good], slo).goodput_per_s == pytest.approx(1 / 51e-6)
    assert summarise([late, good]).goodput_per_s is None


def test_a_failed_request_is_counted_and_not_averaged() -> None:
    failed = answer(1, 0, 0, 0, finish_reason="error", error={"message": "gone"})
    failed.ttft_ns = None
    summary = summarise([answer(0, 10_000, 50_000, 5), failed])
    assert (summary.num_requests, summary.num_failed) == (2, 1)
    assert summary.ttft_us_p50 == 10.0
    with pytest.raises(ValueError, match="gone"):
        summarise([failed])


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 2), (0.75, 3), (0.99, 4), (1.0, 4)])
def test_a_percentile_is_a_value_that_was_seen(share: float, value: int) -> None:
    assert percentile([1, 2, 3, 4], share) == value


def test_an_overrun_is_judged_by_its_own_request_or_the_strictest() -> None:
    tpots = {"slow": 1_000_000.0, "fast": 100_000.0}
    lateness = [("slow", 9_000), ("slow", 11_000), ("fast", 1_001), ("", 1_001), ("", -5)]
    assert overrun_fraction(lateness, tpots) == 3 / 5
    assert overrun_fraction([], tpots) == 0.0


@pytest.mark.parametrize(
    ("microseconds", "text"), [(0.5, "0.5 us"), (1500, "1.5 ms"), (2_500_000, "2.50 s")]
)
def test_durations_choose_their_unit(microseconds: float, text: str) -> None:
    assert duration(microseconds) == text
