"""Rows from a session: each engine's times, its share of what the memory allows, and ratios."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.peers.engines import OURS
from benchmarks.peers.oracle import Followed, distinct_experts, step_bytes
from benchmarks.peers.rounds import (
    CASES,
    NEW_TOKENS,
    PREFILL_TOKENS,
    PROMPT_TOKENS,
    Case,
    Sample,
    Session,
)
from benchmarks.rows import Row
from configs.model_config import ModelConfig

# What was asked of us: of the bandwidth limit, and beside the faster peer.
FRACTION_BAR = 80
RATIO_BARS = {1: 1.3, 4: 1.3, 16: 1.5, 0: 1.0}
# Whether an engine computes this model. The fp32 reference with hidden states rounded to bf16 in
# each layer keeps 92-98 % of its tokens and loses 0.000-0.007 of a logit by the others; one with
# another rotary base keeps 27-48 % and loses 0.6-1.1, one with experts' weights a fifth too small
# keeps 58-72 % and loses 0.12-0.44 (64 positions each, five ways to draw the model).
AGREEMENT_BAR = 0.85
REGRET_BAR = 0.05
# A thread that looks for work while another engine is measured would show as a good part of a core.
IDLE_BAR = 0.05


@dataclass(frozen=True)
class Checked:
    """The reference's word on one engine's first sample of each case."""

    followed: dict[Case, list[Followed]]

    def regrets(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        return np.concatenate([one.regrets for many in self.followed.values() for one in many])


def median_ns(samples: Sequence[Sample]) -> float:
    return statistics.median(sample.ns for sample in samples)


def time_row(name: str, case: Case, samples: Sequence[Sample]) -> Row:
    middle = median_ns(samples)
    spread = f"{min(s.ns for s in samples) / 1e6:.2f} .. {max(s.ns for s in samples) / 1e6:.2f}"
    tokens = (case.sequences or PREFILL_TOKENS) / middle * 1e9
    unit = "ms/step" if case.sequences else "ms"
    evidence = f"measured: median of {len(samples)} rounds, {spread}; {tokens:,.0f} tokens/s"
    return Row(f"{name}: {case.name}", round(middle / 1e6, 2), unit, "none", True, evidence)


def limit_row(
    name: str, case: Case, samples: Sequence[Sample], followed: Sequence[Followed], c: ModelConfig
) -> Row:
    """Share of the time that the memory alone would take; our own must reach the bar."""
    experts = distinct_experts(followed)
    moved = step_bytes(c, case.sequences, experts, PROMPT_TOKENS + NEW_TOKENS / 2)
    fraction = 100 * statistics.median(moved / sample.ns / sample.read for sample in samples)
    read = statistics.median(sample.read for sample in samples)
    return Row(
        f"{name}: {case.name}, share of the bandwidth limit",
        round(fraction, 1),
        "%",
        f">= {FRACTION_BAR} %" if name == OURS else "none",
        name != OURS or fraction >= FRACTION_BAR,
        f"measured: {moved / 1e6:.0f} MB a step ({experts:.2f} distinct experts a layer), "
        f"read probe {read:.1f} GB/s",
    )


def ratio_row(case: Case, session: Session, peers: Sequence[str]) -> Row:
    """How many times as fast as the faster peer we are: medians of the same rounds."""
    times = {name: median_ns(session.samples[name, case]) for name in peers}
    fastest = min(times, key=times.__getitem__)
    ratio = times[fastest] / median_ns(session.samples[OURS, case])
    bar = RATIO_BARS[case.sequences]
    against = f"the faster of {' and '.join(peers)}" if len(peers) > 1 else peers[0]
    return Row(
        f"{OURS}: {case.name}, beside {against}",
        round(ratio, 2),
        "x",
        f">= {bar:g}x",
        ratio >= bar,
        f"measured: {fastest} takes {times[fastest] / 1e6:.2f} ms",
    )


def agreement_rows(name: str, checked: Checked) -> Iterator[Row]:
    regrets = checked.regrets()
    agreement, mean = float((regrets == 0).mean()), float(regrets.mean())
    evidence = f"measured: {regrets.size} timed tokens beside the fp32 reference"
    yield Row(
        f"{name}: tokens that are the reference's own",
        round(100 * agreement, 1),
        "%",
        f">= {100 * AGREEMENT_BAR:g} %",
        agreement >= AGREEMENT_BAR,
        evidence,
    )
    yield Row(
        f"{name}: logits lost to the reference's choice, mean",
        round(mean, 4),
        "",
        f"<= {REGRET_BAR:g}",
        mean <= REGRET_BAR,
        f"{evidence}; worst {float(regrets.max()):.2f}, logits spread by 3",
    )


def all_rows(
    session: Session, checked: Mapping[str, Checked], config: ModelConfig
) -> Iterator[Row]:
    """Every row of a run, by case, then what makes the run trustworthy."""
    names = list(dict.fromkeys(name for name, _ in session.samples))
    peers = [name for name in names if name != OURS]
    for case in CASES:
        for name in names:
            samples = session.samples[name, case]
            yield time_row(name, case, samples)
            if case.sequences:
                yield limit_row(name, case, samples, checked[name].followed[case], config)
        if OURS in names and peers:
            yield ratio_row(case, session, peers)
    for name in names:
        yield from agreement_rows(name, checked[name])
        if len(names) > 1:
            idle = session.idle_cpu(name)
            evidence = f"measured: over {session.idle_s[name]:.0f} s of the others' turns"
            bar = f"<= {IDLE_BAR:g}"
            title = f"{name}: cores kept busy while it waits"
            yield Row(title, round(idle, 3), "", bar, idle <= IDLE_BAR, evidence)
