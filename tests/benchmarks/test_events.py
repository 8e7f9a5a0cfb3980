"""The driver of the events benchmark counts what arrives, and sees what is lost or sent twice."""

import numpy as np
import pytest

from benchmarks.beside.pairs import Pairs
from benchmarks.beside.stopwatch import Stopwatch
from benchmarks.events import load
from benchmarks.events.__main__ import rates, ratio_row
from benchmarks.events.this_tree import stand

OWNERS = [e // load.EXPERTS_PER_SHARD for e in range(load.NUM_SHARDS * load.EXPERTS_PER_SHARD)]


def drive(layers, change=lambda cluster: None):
    async def job(cluster):
        change(cluster)
        return await load.drive(cluster, layers, Stopwatch())

    return stand(load.NUM_CHIPS, OWNERS, job)


def test_every_envelope_carries_eight_tokens():
    """Counted by hand from the routes of a chip: tokens with an expert of each shard."""
    rows = load.rows_of(3)
    owners = np.array(OWNERS)[rows.experts_TK]
    per_shard = [int((owners == shard).any(axis=1).sum()) for shard in range(load.NUM_SHARDS)]
    assert per_shard == [8] * 32
    assert all(len(set(owned)) == load.TOP_K for owned in owners.tolist())


def test_events_are_dispatches_and_combines_that_arrived():
    driven = drive(2)
    assert driven["events"] == 2 * 2 * 32 * 32
    assert driven == drive(2)  # the trace hash too
    assert driven["trace"] != drive(3)["trace"]


def test_a_share_that_is_lost_is_seen():
    def change(cluster):
        shard = cluster.shards[5]
        answer = shard.answer
        shard.answer = lambda batch, sums_tH: answer(batch, 0 * sums_tH)

    with pytest.raises(AssertionError, match="lacks a share"):
        drive(1, change)


def test_a_delivery_that_nobody_counted_is_seen():
    """One more message than dispatches and combines, and the trace has it."""

    def change(cluster):
        chip = cluster.chips[0]
        exchange = chip.exchange

        async def twice(layer, rows):
            await exchange(layer, rows)
            return await exchange(layer, rows)

        chip.exchange = twice

    with pytest.raises(AssertionError, match="records for"):
        drive(1, change)


def test_either_half_of_the_bar_is_enough():
    assert ratio_row(Pairs([40_000], [10_000]), 40_000).holds
    assert ratio_row(Pairs([60_000], [59_000]), 60_000).holds
    assert not ratio_row(Pairs([59_999], [15_001]), 59_999).holds


def test_runs_of_one_tree_that_differ_mean_nothing():
    same = {"trace": "a", "events": 10, "cpu_s": 2.0}
    assert rates([same, same]) == [5, 5]
    with pytest.raises(RuntimeError, match="runs of one tree differ: a, b"):
        rates([same, {**same, "trace": "b"}])
