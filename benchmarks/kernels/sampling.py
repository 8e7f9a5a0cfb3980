"""Choosing tokens: microseconds a row, beside the reference that sorts everything.

No share of the bandwidth: a step's logits lie in the cache that they were written to, and exp costs
more than reading them.
"""

import re
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from benchmarks.rows import Row
from kernels import sampling
from kernels.sampling import ref

VOCABS = (32_000, 151_936)
ROWS = 8
# Normal logits with this spread: at temperature 1 some thousand tokens share the probability.
SPREAD = 2.5
KINDS = {
    "greedy": (0.0, 0, 1.0),
    "temperature 1": (1.0, 0, 1.0),
    "top_p 0.9": (1.0, 0, 0.9),
    "top_k 50": (1.0, 50, 1.0),
}


def us_a_row(call: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1000 / ROWS


def sampling_rows(rng: np.random.Generator, chosen: re.Pattern[str], rounds: int) -> Iterator[Row]:
    for vocab in VOCABS:
        logits = (rng.standard_normal((ROWS, vocab)) * SPREAD).astype(np.float32)
        for kind, (temperature, top_k, top_p) in KINDS.items():
            name = f"sampling, {ROWS} rows, {kind}, vocabulary {vocab:,}"
            if not chosen.search(name):
                continue
            ours, plain = [], []
            for _ in range(rounds):
                given = (
                    np.full(ROWS, temperature),
                    np.full(ROWS, top_k, dtype=np.int64),
                    np.full(ROWS, top_p),
                    rng.random(ROWS),
                )
                ours.append(us_a_row(partial(sampling.choose, logits, *given)))
                plain.append(us_a_row(partial(ref.choose, logits, *given)))
            us, reference = statistics.median(ours), statistics.median(plain)
            evidence = f"measured: the numpy reference {reference:.0f} us, {reference / us:.1f}x"
            yield Row(name, round(us, 1), "us a row", "none", True, evidence)
