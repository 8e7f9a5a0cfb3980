"""What a second micro-batch hides, by hand, where chip and shard are as the benchmark has them."""

from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Literal

import pytest

from benchmarks.fixed import run_there
from benchmarks.wires.hidden import drawn, make

NUM_LAYERS = 4
# Attention and experts 15 ms, two links of 5 ms, a layer.
ONE_NS = NUM_LAYERS * 40_000_000
# Half of each and the links, a layer; and the last layer of the second half, whose attention begins
# 7.5 ms after that of the first.
TWO_NS = NUM_LAYERS * 25_000_000 + 7_500_000
# 64 x 64 multiply-adds a row at a rate that takes 15 ms over 73,728 of them.
LOGITS_NS = 833_334
# What a dispatch and a combine take of a link of 1 TB/s, once each a layer, and rounding.
BYTES_NS = NUM_LAYERS * 10


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("hidden"), NUM_LAYERS)


def steps_ns(model: Path, micro_batches: Literal[1, 2]) -> tuple[float, list[list[int]]]:
    """From a token to the next where sixteen decode, and all tokens."""
    run = run_there(drawn("virtual", micro_batches, model, num_tokens=6))
    assert not any(run.held.values())
    gaps = [gap for a in run.answers for gap in (y - x for x, y in pairwise(a.token_ns))]
    return median(gaps), [answer.token_ids for answer in run.answers]


def test_a_layer_takes_what_hand_arithmetic_says(model: Path) -> None:
    one_ns, tokens = steps_ns(model, 1)
    two_ns, same = steps_ns(model, 2)
    assert ONE_NS + LOGITS_NS <= one_ns <= ONE_NS + LOGITS_NS + BYTES_NS
    assert TWO_NS + LOGITS_NS <= two_ns <= TWO_NS + LOGITS_NS + BYTES_NS
    assert same == tokens
