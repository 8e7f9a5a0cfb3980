"""The cluster's tokens beside one process on a small fixed sample: `make verify` runs it all."""

import dataclasses
from array import array

import numpy as np
import pytest

from benchmarks.exact import SHARD_COUNTS, Expected, difference_row, margin_row, measure
from benchmarks.float64 import Float64Model
from benchmarks.random_models import qwen3_moe, save_random_model
from benchmarks.runs import demo, questions, sampled
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from workers.model.reference import Reference


def failed(rows):
    return [row for row in rows if not row.holds]


def test_virtual_clusters_give_the_tokens_of_one_process():
    rows = measure(12, ("virtual",), (1, 3, 8))
    assert len(rows) == 4
    assert not failed(rows)


@pytest.mark.live
def test_a_cluster_of_processes_gives_the_tokens_of_one_process():
    assert not failed(measure(8, ("local",), (3,)))


def test_every_legal_number_of_shards_is_measured():
    assert tuple(range(1, 9)) == SHARD_COUNTS


def test_one_wrong_token_is_seen():
    expected = [Expected((5, 6, 2), 1.0, 1e-6), Expected((7, 2), 1.0, 1e-6)]
    answers = [Answer("a", tokens=array("i", [5, 6, 2])), Answer("b", tokens=array("i", [7, 7]))]
    row, differing = difference_row(expected, answers, "here")
    assert not row.holds and row.value == 1
    assert differing == ["here, b: (7, 7) for (7, 2)"]


def test_a_missing_token_and_an_error_are_seen():
    expected = [Expected((5, 2), 1.0, 1e-6), Expected((7, 2), 1.0, 1e-6)]
    refused = Answer("b", finish_reason="error", error={"code": "queue_full"})
    row, differing = difference_row(
        expected, [Answer("a", tokens=array("i", [5])), refused], "here"
    )
    assert row.value == 2
    assert "queue_full" in differing[1]


def test_a_margin_near_the_rounding_error_does_not_hold():
    close = Expected((5, 2), 3e-6, 1e-6)
    assert margin_row([dataclasses.replace(close, margin=1.0)]).holds
    assert not margin_row([close]).holds


def test_a_sample_is_even_and_fixed():
    workload = questions(Blueprint.draw(demo(100)))
    ids = [timed.request.request_id for timed in sampled(workload, 4).requests]
    assert ids == ["request-0", "request-25", "request-50", "request-75"]
    assert sampled(workload, 1000) == workload


@pytest.mark.parametrize("seed", range(4))
def test_float64_agrees_with_the_reference_on_any_shape(seed, tmp_path):
    """Random sizes; heads, shared KV heads, tied embeddings and normed top-k all differ."""
    config = qwen3_moe(seed)
    save_random_model(config, seed, tmp_path, shards=seed % 2 == 1)
    tokens = np.random.default_rng(seed).integers(0, config.vocab_size, 24).tolist()
    exact, ours = Float64Model(tmp_path).logits(tokens), Reference(tmp_path).all_logits(tokens)
    assert exact.shape == ours.shape
    assert np.abs(exact - ours).max() < 1e-4
