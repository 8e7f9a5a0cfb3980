"""Trials of the virtual world: the same again from their names, and files that repeat them."""

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.chaos.running import calm_asks
from cluster.chaos.trial import ANYONE, At, Fault, Seen, Trial
from cluster.chaos.work import Worker
from cluster.chaos.written import read_trial, write_trial


def test_a_name_is_one_trial(worker: Worker) -> None:
    assert worker.trial("3") == worker.trial("3") != worker.trial("4")
    assert worker.trial("3.5.2") == worker.trial("3.5.2") != worker.trial("3.5")
    assert worker.trial("3.5").scenario == worker.trial("3").scenario
    with pytest.raises(ValueError, match="must be a seed, as 17, or a seed and mutations"):
        worker.trial("x")


def test_a_trial_repeats_itself_to_the_hash(worker: Worker) -> None:
    assert not worker.run(worker.trial("1"), twice=True).broken


def test_without_faults_all_is_answered(worker: Worker, calm: Trial) -> None:
    seen = worker.run(calm)
    asked = len(calm.asks) + len(list(calm_asks(worker.stages.of(calm), calm)))
    assert (seen.broken, seen.num_failed, seen.num_answered) == ([], 0, asked)


def test_a_file_repeats_what_a_name_did(worker: Worker, tmp_path: Path) -> None:
    trial = worker.trial("2.1")
    path = tmp_path / "t.yaml"
    path.write_text(write_trial(trial))
    assert worker.run(read_trial(path)).trace_hash == worker.run(trial).trace_hash


def test_a_fault_begins_with_the_message_that_it_waits_for(worker: Worker, calm: Trial) -> None:
    """The second `start` and no other is lost, and is said again."""
    fault = Fault("f0", "drop", At("start", 2), (ANYONE, ANYONE), "start", for_ns=1)
    seen = worker.run(replace(calm, faults=(fault,)))
    assert (seen.num_fired, seen.num_failed, seen.broken) == (1, 0, [])
    assert [hit[2] for hit in seen.hits["f0"]] == ["start"]
    assert seen.cells == {("drop", "moved"): 1}


def test_what_chance_chose_is_hit_again_by_its_list(worker: Worker, calm: Trial) -> None:
    fault = Fault("f0", "duplicate", At("submit", 1), (ANYONE, ANYONE), "tokens", chance=0.5,
                  amount=1_000)  # fmt: skip
    by_chance = worker.run(replace(calm, faults=(fault,)))
    assert by_chance.hits["f0"]
    listed = replace(fault, chance=1.0, hits=tuple(by_chance.hits["f0"]))
    by_list = worker.run(replace(calm, faults=(listed,)))
    assert by_list.hits == by_chance.hits


def test_a_dead_node_comes_back_at_the_healing(worker: Worker, calm: Trial) -> None:
    """The decode chip dies for good as the first transfer is under way: what was there fails, and
    all that is asked after the healing is answered.
    """
    dead = tuple(
        Fault(f"f{i}", "crash", At("kv_blocks", 1), (node.name,))
        for i, node in enumerate(worker.stages.of(calm).blueprint.plan.nodes)
        if node.name.startswith("decode")
    )
    seen = worker.run(replace(calm, faults=dead))
    assert not seen.broken
    assert seen.num_failed >= 1
    assert seen.cells["crash", "in flight"] == len(dead)
    assert [mark[3] for mark in seen.marks if mark[1] == 1] == (
        ["dies"] * len(dead) + ["is back"] * len(dead)
    )


def test_a_shape_that_breaks_a_law_by_itself_is_told(monkeypatch: pytest.MonkeyPatch,
                                                     tmp_path: Path) -> None:  # fmt: skip
    from tests.cluster.chaos.plants import combine_dropped

    combine_dropped(monkeypatch)
    worker = Worker("digest", tmp_path)
    trial = worker.trial("5")
    assert trial.faults == () and trial.name == "5"
    assert worker.run(trial).laws >= {"exact"}


def lasting(worker: Worker, calm: Trial, what: str, node: str, for_ns: int | None = None,
            amount: int = 0) -> Seen:  # fmt: skip
    """A fault of a node, from the first transfer on."""
    fault = Fault("f0", what, At("kv_blocks", 1), (node,), for_ns=for_ns, amount=amount)
    return worker.run(replace(calm, faults=(fault,)))


def test_a_node_that_stands_still_goes_on(worker: Worker, calm: Trial) -> None:
    """For less than a call's time: everything is late, and nothing fails."""
    seen = lasting(worker, calm, "pause", "decode-0", for_ns=10_000)
    assert (seen.broken, seen.num_fired, seen.num_failed) == ([], 1, 0)
    assert [mark[3] for mark in seen.marks if mark[1] == 1] == ["pause ends"]


def test_who_stands_still_until_the_healing_answers_after_it(worker: Worker, calm: Trial) -> None:
    seen = lasting(worker, calm, "pause", "prefill-0")
    assert (seen.broken, seen.num_fired) == ([], 1)


def test_a_slow_chip_answers_late(worker: Worker, calm: Trial) -> None:
    at_once, late = worker.run(calm), lasting(worker, calm, "slow", "decode-0", amount=20)
    assert late.broken == at_once.broken == []
    assert last(late) > last(at_once)


def last(seen: Seen) -> int:
    """When the last of the first three had its answer."""
    return max(ns for ns, row, who, what in seen.marks if row == 2 and who in ("r0", "r1", "r2"))


def test_a_router_with_a_full_disk_says_so_and_returns(worker: Worker, calm: Trial) -> None:
    cluster = {**calm.scenario["cluster"], "router_journal": True}
    journaled = replace(calm, scenario={**calm.scenario, "cluster": cluster})
    fault = Fault("f0", "disk_full", At("submit", 1), ("router",))
    seen = worker.run(replace(journaled, faults=(fault,)))
    assert (seen.broken, seen.num_fired) == ([], 1)
    assert seen.num_failed >= 1


def test_where_nothing_is_pooled_nothing_can_be_damaged(worker: Worker, calm: Trial) -> None:
    seen = lasting(worker, calm, "page_error", "decode-0", amount=500_000)
    assert (seen.broken, seen.num_fired) == ([], 0)


def test_a_broken_connection_goes_on_with_what_is_missing(worker: Worker, calm: Trial) -> None:
    asks = tuple(replace(ask, resends_after=2) for ask in calm.asks)
    seen = worker.run(replace(calm, asks=asks))
    assert (seen.broken, seen.num_failed) == ([], 0)
    assert seen.num_tokens == worker.run(calm).num_tokens
