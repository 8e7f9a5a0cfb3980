"""What the demo promises, and whether it held."""

from collections.abc import Sequence
from typing import Any

from cluster.runs.run import Run
from cluster.workload.driver import Answer

# The same figures are bars of `make verify`.
ACCURACY_WITH_RETRIEVAL_MIN = 0.95
ACCURACY_WITHOUT_RETRIEVAL_MAX = 0.10
OVERRUNS_MAX = 0.05
MEDIANS_APART_MAX = 0.15
RESIDENT_MB_MAX = 3000
READY_S_MAX = 30

# (what, figure and bar, whether it holds)
Verdict = tuple[str, str, bool]


def verdicts(summary: dict[str, Any], runs: list[Run]) -> list[Verdict]:
    """Of the demo's summary, and of all its runs: that nothing is held any more."""
    leaks = {k: v for run in runs for k, v in run.held.items() if v}
    equal, resident_mb, ready_s = (
        summary[key] for key in ("tokens_equal", "resident_mb", "ready_s")
    )
    return [
        *_shares(summary),
        ("tokens, local and virtual", "equal" if equal else "differ", equal),
        (
            "memory of all processes",
            f"{resident_mb:.0f} MB (bar ≤ {RESIDENT_MB_MAX})",
            resident_mb <= RESIDENT_MB_MAX,
        ),
        ("ready after", f"{ready_s:.1f} s (bar ≤ {READY_S_MAX})", ready_s <= READY_S_MAX),
        ("let go of everything", "yes" if not leaks else f"no: {leaks}", not leaks),
    ]


def _shares(summary: dict[str, Any]) -> list[Verdict]:
    """Parts of a whole against their bars."""
    accuracy, local, virtual = summary["accuracy"], summary["local"], summary["virtual"]
    ttft, tpot = (
        abs(local[key] - virtual[key]) / virtual[key] for key in ("ttft_us_p50", "tpot_us_p50")
    )
    with_retrieval, without = accuracy["with_retrieval"], accuracy["without_retrieval"]
    return [
        _at_least("exact answers with retrieval", with_retrieval, ACCURACY_WITH_RETRIEVAL_MIN),
        _at_most("exact answers without", without, ACCURACY_WITHOUT_RETRIEVAL_MAX),
        _at_most("TTFT, local from virtual", ttft, MEDIANS_APART_MAX),
        _at_most("TPOT, local from virtual", tpot, MEDIANS_APART_MAX),
        _at_most("overruns", local["overrun_fraction"], OVERRUNS_MAX),
    ]


def _at_least(what: str, value: float, bar: float) -> Verdict:
    return what, f"{value:.1%} (bar ≥ {bar:.0%})", value >= bar


def _at_most(what: str, value: float, bar: float) -> Verdict:
    return what, f"{value:.1%} (bar ≤ {bar:.0%})", value <= bar


def same_tokens(some: Sequence[Answer], others: Sequence[Answer]) -> bool:
    """Whether two runs of one workload gave the same answers; over HTTP only the text is seen."""
    return len(some) == len(others) and all(
        a.request_id == b.request_id
        and a.finish_reason == b.finish_reason
        and a.text == b.text
        and a.num_output_tokens == b.num_output_tokens
        for a, b in zip(some, others, strict=True)
    )
