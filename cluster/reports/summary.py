"""From answers to figures. Pure; the formula stands beside each figure (definitions: vLLM's)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from cluster.api.output import DELIVERY, PHASES, RARE_PHASES
from cluster.workload.driver import Answer
from configs.schema import SloSection


@dataclass(frozen=True, slots=True)
class Summary:
    """Emulated microseconds.

    accuracy        exact answers / questions; None where no answer is expected
    ttft_us_p50     median of (first output - submitted)
    tpot_us_p50     median over requests of (last - first output) / (tokens - 1)
    itl_us_p50      median over all tokens but first ones of (it - the one before), 0 where they
                    came together
    e2e_us_p50      median of (last output - submitted), and their mean
    tokens_per_s    output tokens of all requests / (last output of all - first submission)
    goodput_per_s   requests that met every SLO / the same span; None where none was promised
    phases_us       mean over requests of the time in each phase; with the remainder, "delivery",
                    they add up to e2e_us_mean
    preemptions     sequences that lost their KV blocks to older ones, and were computed again
    num_approximate tokens that lack a share of experts, or follow from one that does
    num_skipped     rows of the trace that ask for nothing, and so are none of the requests
    TTFT, TPOT and ITL are what the client reads.
    """

    num_requests: int
    num_failed: int
    num_tokens: int
    accuracy: float | None
    ttft_us_p50: float
    ttft_us_p99: float
    tpot_us_p50: float
    tpot_us_p99: float
    itl_us_p50: float
    itl_us_p99: float
    e2e_us_p50: float
    e2e_us_mean: float
    tokens_per_s: float
    goodput_per_s: float | None
    phases_us: Mapping[str, float]
    preemptions: int = 0
    num_skipped: int = 0
    num_approximate: int = 0


def summarise(
    answers: Sequence[Answer],
    slo: SloSection | None = None,
    preemptions: int = 0,
    num_skipped: int = 0,
) -> Summary:
    """Raises ValueError if no request was answered."""
    answered = [a for a in answers if a.finish_reason in ("stop", "length")]
    if not answered:
        first = next((a.error for a in answers if a.error), None)
        raise ValueError(f"none of {len(answers)} requests was answered; the first error: {first}")
    ttfts = sorted(a.ttft_ns / 1e3 for a in answered if a.ttft_ns is not None)
    tpots = sorted(a.tpot_ns / 1e3 for a in answered if a.tpot_ns is not None)
    itls = _itls_us(answered)
    expected = [a for a in answers if a.expected is not None]
    span_ns = max(a.submitted_ns + a.e2e_ns for a in answered) - min(
        a.submitted_ns for a in answered
    )
    num_tokens = sum(a.num_output_tokens for a in answered)
    return Summary(
        num_requests=len(answers),
        num_failed=len(answers) - len(answered),
        num_tokens=num_tokens,
        accuracy=fmean(a.is_exact for a in expected) if expected else None,
        ttft_us_p50=median(ttfts),
        ttft_us_p99=percentile(ttfts, 0.99),
        tpot_us_p50=median(tpots) if tpots else 0.0,
        tpot_us_p99=percentile(tpots, 0.99) if tpots else 0.0,
        itl_us_p50=_middle(itls) if len(itls) else 0.0,
        itl_us_p99=float(percentile(itls, 0.99)) if len(itls) else 0.0,
        e2e_us_p50=median(a.e2e_ns / 1e3 for a in answered),
        e2e_us_mean=fmean(a.e2e_ns / 1e3 for a in answered),
        tokens_per_s=num_tokens / (span_ns * 1e-9) if span_ns else 0.0,
        goodput_per_s=_goodput_per_s(answered, slo, span_ns),
        phases_us=phases(answered),
        preemptions=preemptions,
        num_skipped=num_skipped,
        num_approximate=sum(a.num_approximate for a in answers),
    )


def _itls_us(answers: Sequence[Answer]) -> NDArray[np.float64]:
    """All of them in ascending order: one for each token, 8 B each."""
    itls_us, filled = np.empty(sum(max(0, len(a.token_ns) - 1) for a in answers)), 0
    for answer in answers:
        gaps_ns = np.diff(np.array(answer.token_ns, dtype=np.int64))
        itls_us[filled : filled + len(gaps_ns)] = gaps_ns
        filled += len(gaps_ns)
    itls_us /= 1e3
    itls_us.sort()
    return itls_us


def _middle(ordered: NDArray[np.float64]) -> float:
    """The median, as of all the other figures."""
    half = len(ordered) // 2
    return float(ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2)


def _goodput_per_s(
    answered: Sequence[Answer], slo: SloSection | None, span_ns: int
) -> float | None:
    if slo is None or (slo.ttft_ns is None and slo.tpot_ns is None) or not span_ns:
        return None
    num_good = sum(
        _within(answer.ttft_ns, slo.ttft_ns) and _within(answer.tpot_ns, slo.tpot_ns)
        for answer in answered
    )
    return num_good / (span_ns * 1e-9)


def _within(seen_ns: float | None, promised_ns: int | None) -> bool:
    """What was not promised is kept, and so is the TPOT of a single token."""
    return promised_ns is None or seen_ns is None or seen_ns <= promised_ns


def phases(answers: Sequence[Answer]) -> dict[str, float]:
    """Mean microseconds in each phase; "delivery" is the rest of the end-to-end time."""
    of_each = [answer.phases_ns for answer in answers]
    means = {phase: fmean(one[phase] / 1e3 for one in of_each) for phase in (*PHASES, DELIVERY)}
    return {p: spent_us for p, spent_us in means.items() if spent_us or p not in RARE_PHASES}


def percentile(ordered: Sequence[float] | NDArray[np.float64], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def overrun_fraction(
    lateness: Sequence[tuple[str, int]], tpot_ns_by_request: Mapping[str, float]
) -> float:
    """Runs and deliveries that ended later than due by more than 1 % of the request's TPOT.

    A record that names no request, or one without a TPOT, is judged by the smallest TPOT of all: a
    run serves a whole batch, and none of it may be late.
    """
    if not lateness or not tpot_ns_by_request:
        return 0.0
    strictest = min(tpot_ns_by_request.values())
    late = sum(
        late_ns > 0.01 * tpot_ns_by_request.get(request_id, strictest)
        for request_id, late_ns in lateness
    )
    return late / len(lateness)
