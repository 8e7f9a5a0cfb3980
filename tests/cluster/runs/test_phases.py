"""Where a request's time went: all of it, in phases that do not overlap."""

import json
from typing import Any

import pytest

from cluster.api.output import DELIVERY, PHASES
from cluster.cli.run import run_scenario
from cluster.reports.summary import summarise
from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

US = 1_000
SYNTHETIC = {
    "workload.prompts": {
        "synthetic": {"input_length": {"fixed": 40}, "output_length": {"fixed": 24}}
    },
}


def answers_of(changes: dict[str, Any], scenario: str = "single") -> list[Answer]:
    blueprint = Blueprint.draw(load_scenario(scenario, changes))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    answers = run_in_virtual(blueprint, workload, lambda answer: None).answers
    assert not any(answer.error for answer in answers)
    return answers


def test_all_but_messages_is_in_a_phase() -> None:
    """Eight users of a chip that takes four tokens a step of four sequences. Delivery is two
    messages of 2 us each, and the last report's turn, so less than 12 us whatever the load.
    """
    answers = answers_of(
        {
            **SYNTHETIC,
            "workload.arrivals": {"closed": {"concurrency": 8, "num_requests": 16}},
            "model.max_num_batched_tokens": 4,
            "model.max_num_seqs": 4,
        }
    )
    for answer in answers:
        phases = answer.phases_ns
        assert list(phases) == [*PHASES, DELIVERY]
        assert sum(phases.values()) == answer.e2e_ns
        assert all(spent_ns >= 0 for spent_ns in phases.values())
        assert phases[DELIVERY] < 12 * US


def test_a_stop_string_does_not_turn_its_decode_into_delivery() -> None:
    """The router finds it, and the chip never says that this was the end: some 30 us a token were
    told as delivery.
    """
    (whole,) = answers_of({**SYNTHETIC, "workload.arrivals.closed.num_requests": 1})
    assert len(whole.text) > 8
    changes = {
        **SYNTHETIC,
        "workload.arrivals.closed.num_requests": 1,
        "workload.sampling.stop": [whole.text[-6:-3]],
    }
    (stopped,) = answers_of(changes)
    assert 4 < stopped.num_output_tokens < whole.num_output_tokens
    steps = stopped.num_output_tokens - 1
    assert stopped.phases_ns["attention"] > steps * 3 * US
    assert stopped.phases_ns[DELIVERY] <= whole.phases_ns[DELIVERY] + 1 * US


def test_what_the_pool_brings_is_kv_transfer() -> None:
    """Three prefixes of 16 blocks take turns in a cache of 24: the last prompt's comes from a
    memory server (a round trip of 4 us, and 256 tokens of KV), which was told as queueing. Nobody
    else is there: the queue is one call, to reserve.
    """
    shared = {"length": 256, "groups": 3}
    lengths = {"input_length": {"fixed": 8}, "output_length": {"fixed": 1}}
    answers = answers_of(
        {
            "workload.prompts": {"synthetic": {**lengths, "shared_prefix": shared}},
            "placement.collections": None,
            "model.num_kv_blocks": 24,
            "model.max_model_len": 320,
            "workload.arrivals": {"closed": {"concurrency": 1, "num_requests": 8}},
        },
        "demo",
    )
    assert answers[-1].num_cached_tokens == 256
    assert answers[-1].phases_ns["kv_transfer"] > 10 * US
    assert all(answer.phases_ns["queue"] < 5 * US for answer in answers)


def test_gaps_between_tokens_are_the_reader_s() -> None:
    """Submitted at 100, read at 110 (one token), 130 (two that came together), 160 (the end)."""
    answer = Answer("r", submitted_ns=100, finish_reason="length", num_output_tokens=4)
    for num_tokens, now_ns in ((1, 110), (2, 130), (1, 160)):
        answer.read(num_tokens, now_ns)
    assert (answer.ttft_ns, answer.e2e_ns) == (10, 60)
    assert answer.itl_ns == [20, 0, 30]
    summary = summarise([answer])
    assert (summary.itl_us_p50, summary.itl_us_p99) == (0.020, 0.030)
    assert summary.tpot_us_p50 == pytest.approx(0.050 / 3)


def test_the_json_of_a_run_adds_up(tmp_path: Any) -> None:
    path = tmp_path / "run.json"
    run_scenario("single", {"workload.arrivals.closed.num_requests": 3}, path)
    told = json.loads(path.read_text())
    for answer in told["answers"]:
        assert sum(answer["times_ns"].values()) == answer["e2e_ns"]
        assert answer["ttft_ns"] + sum(answer["itl_ns"]) == answer["e2e_ns"]
        assert DELIVERY in answer["times_ns"]
    summary = told["summary"]
    assert sum(summary["phases_us"].values()) == pytest.approx(summary["e2e_us_mean"])
