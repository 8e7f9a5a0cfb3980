"""Faults as they are written: what each distribution takes, and errors that name the remedy."""

from pathlib import Path
from typing import Any

import pytest

from configs.schema import ScenarioError, dump_scenario, load_scenario
from configs.schema.faults import LatencyFault, ReorderFault, StallFault
from tests.configs.test_scenario import SMALL

GOOD: list[dict[str, Any]] = [
    {"latency": "5 ms"},
    {"latency": "5 ms", "jitter": "1 ms", "correlation": "25 %"},
    {"distribution": "fixed", "latency": "5 ms"},
    {"distribution": "normal", "latency": "5 ms", "jitter": "1 ms", "correlation": 0.5},
    {"distribution": "lognormal", "median": "1 ms", "sigma": 0.6},
    {"distribution": "lognormal", "latency": "2 ms", "median": "1 ms", "sigma": 0.6},
    {"distribution": "pareto", "scale": "1 ms", "alpha": 2.5},
    {"distribution": "replay", "delays": ["1 ms", "200 us"]},
]


def late(attributes: dict[str, Any]) -> dict[str, Any]:
    return {"type": "latency", "attributes": attributes}


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    more: list[dict[str, Any]] = [
        {
            "type": "reorder",
            "attributes": {"delay": "3 us"},
            "direction": "both",
            "name": "shuffle",
        },
        {"type": "stall", "start": "1 ms", "duration": "2 ms"},
    ]
    scenario = load_scenario("demo", {"faults": [late(each) for each in GOOD] + more})
    file = tmp_path / "again.yaml"
    file.write_text(dump_scenario(scenario), encoding="utf-8")
    assert load_scenario(file) == scenario
    reorder, stall = scenario.faults[-2:]
    assert isinstance(reorder, ReorderFault) and reorder.attributes.delay_ns == 3_000
    assert isinstance(stall, StallFault) and stall.duration_ns == 2_000_000


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (late({}), "faults.0.attributes: latency is missing: distribution uniform needs latency"),
        (late({"latency": "-5 ms"}), "faults.0.attributes.latency: '-5 ms' is below zero"),
        (late({"latency": 5}), "faults.0.attributes.latency: 5 has no unit"),
        (
            late({"latency": "1 ms", "sigma": 2}),
            "sigma is no key of distribution uniform, which takes latency, jitter, correlation: "
            "leave it out, or set distribution: lognormal",
        ),
        (
            late({"latency": "1 ms", "distribution": "gamma"}),
            "faults.0.attributes.distribution: is 'gamma': input should be 'fixed', 'uniform', "
            "'normal', 'lognormal', 'pareto' or 'replay'",
        ),
        (
            late({"distribution": "normal", "latency": "1 ms"}),
            "jitter is missing: distribution normal needs latency, jitter",
        ),
        (late({"distribution": "pareto", "scale": "1 ms"}), "alpha is missing"),
        (
            late({"distribution": "pareto", "scale": "1 ms", "alpha": 0}),
            "faults.0.attributes.alpha: is 0: input should be greater than 0",
        ),
        (
            late({"distribution": "normal", "latency": "1 ms", "jitter": "1 ms", "correlation": 1}),
            "faults.0.attributes.correlation: is 1: input should be less than 1",
        ),
        (late({"distribution": "replay"}), "replay needs path or delays, and one of them alone"),
        (
            late({"distribution": "replay", "delays": ["1 ms", "2"]}),
            "faults.0.attributes.delays.1: '2' has no unit",
        ),
        ({"type": "stall"}, "faults.0.duration: is missing: it must be given"),
        ({"type": "reorder", "attributes": {"delay": "0 ns"}}, "faults.0.attributes.delay: is"),
        ({"type": "drop", "direction": "up"}, "input should be 'to', 'from' or 'both'"),
        ({"type": "drop", "toxcity": 1}, "there is no key 'toxcity' here: did you mean 'toxicity'"),
        ({"type": "drop", "name": "a b"}, "'a b' is no name"),
    ],
)
def test_what_is_wrong_says_its_key_and_what_would_be_right(
    fault: dict[str, Any], told: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario("demo", {"faults": [fault]})
    assert len(caught.value.problems) == 1
    assert told in caught.value.problems[0]


def test_no_two_faults_have_one_name() -> None:
    """Unnamed ones are called by their place."""
    faults = [{"type": "drop", "name": "fault-1"}, {"type": "corrupt"}]
    with pytest.raises(ScenarioError, match=r"faults\.1\.name: 'fault-1' is another's too"):
        load_scenario("demo", {"faults": faults})


def test_a_recording_lies_beside_its_scenario(tmp_path: Path) -> None:
    file, recording = tmp_path / "own.yaml", tmp_path / "delays.txt"
    text = f"{SMALL}faults:\n  - {{type: latency, attributes: {{distribution: replay, path: %s}}}}"
    file.write_text(text % "delays.txt", encoding="utf-8")
    with pytest.raises(
        ScenarioError, match=r"faults\.0\.attributes\.path: 'delays.txt' is neither"
    ):
        load_scenario(file)
    recording.write_text("1 ms\n", encoding="utf-8")
    (fault,) = load_scenario(file).faults
    assert isinstance(fault, LatencyFault) and fault.attributes.path == str(recording)
