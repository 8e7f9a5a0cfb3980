"""Interleaved rounds: every case on every engine, the read probe around each.

In a round all engines get the same prompts, drawn anew; which engine goes first rotates. Between
calls every engine sleeps, which is measured, not believed (`Session.idle_cpu`).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from benchmarks.peers.child import Decoded, Prefilled

PROMPT_TOKENS = 128
NEW_TOKENS = 64
PREFILL_TOKENS = 2048
SEQUENCES = (1, 4, 16)
# An engine's threads look for work a few milliseconds after an answer (vLLM's: 5), on our cores.
SETTLE_S = 0.05


class Engine(Protocol):
    """What a round needs of an engine; EngineProcess has it."""

    def decode(self, prompts: list[list[int]], new_tokens: int) -> Decoded: ...

    def prefill(self, prompt: list[int]) -> Prefilled: ...

    def cpu_s(self) -> float: ...


class Probe(Protocol):
    """kernels.bandwidth.Region."""

    num_bytes: int

    def read_ns(self) -> int: ...


@dataclass(frozen=True)
class Case:
    """Decode of some sequences at a time, or (0) prefill of one long prompt."""

    sequences: int

    @property
    def name(self) -> str:
        if self.sequences == 0:
            return f"prefill of {PREFILL_TOKENS:,} tokens"
        plural = "" if self.sequences == 1 else "s"
        return f"decode, {self.sequences} sequence{plural}"

    def prompts(self, rng: np.random.Generator, vocab: int) -> list[list[int]]:
        length = PROMPT_TOKENS if self.sequences else PREFILL_TOKENS
        drawn: list[list[int]] = rng.integers(0, vocab, (max(1, self.sequences), length)).tolist()
        return drawn


CASES = (*(Case(n) for n in SEQUENCES), Case(0))


@dataclass
class Sample:
    """One call: time of a decode step or of a prefill, the read bandwidth (bytes/ns) just before
    and after it, and what went in and came out."""

    ns: float
    read: float
    prompts: list[list[int]]
    generated: list[list[int]]


@dataclass
class Session:
    """All samples of a run by (engine, case), and how busy the waiting engines were."""

    samples: dict[tuple[str, Case], list[Sample]] = field(default_factory=dict)
    idle_cpu_s: dict[str, float] = field(default_factory=dict)
    idle_s: dict[str, float] = field(default_factory=dict)

    def idle_cpu(self, name: str) -> float:
        """Cores that an engine kept busy while others were measured."""
        return self.idle_cpu_s.get(name, 0.0) / max(self.idle_s.get(name, 0.0), 1e-9)


def call(engine: Engine, case: Case, prompts: list[list[int]]) -> tuple[float, list[list[int]]]:
    """Nanoseconds of a step (decode) or of the whole (prefill), and the generated tokens."""
    if case.sequences == 0:
        first = engine.prefill(prompts[0])
        return float(first["prefill_ns"]), [[first["token"]]]
    decoded = engine.decode(prompts, NEW_TOKENS)
    return decoded["decode_ns"] / decoded["steps"], decoded["tokens"]


def warm_up(engine: Engine, rng: np.random.Generator, vocab: int) -> None:
    """Every shape once: page faults, lazy set-up and compilation are not what is compared."""
    for case in CASES:
        call(engine, case, case.prompts(rng, vocab))


def run_round(
    session: Session,
    engines: Mapping[str, Engine],
    probe: Probe,
    rng: np.random.Generator,
    vocab: int,
    number: int,
    cases: Sequence[Case] = CASES,
) -> None:
    """One call of each case on each engine; `number` (from 0) says who goes first."""
    names = list(engines)
    first = number % len(names)
    for case in cases:
        prompts = case.prompts(rng, vocab)
        for name in names[first:] + names[:first]:
            waiting = {n: engine.cpu_s() for n, engine in engines.items() if n != name}
            start = time.monotonic()
            before = probe.num_bytes / probe.read_ns()
            ns, generated = call(engines[name], case, prompts)
            elapsed = time.monotonic() - start
            for n, cpu_s in waiting.items():
                used = engines[n].cpu_s() - cpu_s
                session.idle_cpu_s[n] = session.idle_cpu_s.get(n, 0.0) + used
                session.idle_s[n] = session.idle_s.get(n, 0.0) + elapsed
            time.sleep(SETTLE_S)
            after = probe.num_bytes / probe.read_ns()
            sample = Sample(ns, (before + after) / 2, prompts, generated)
            session.samples.setdefault((name, case), []).append(sample)
