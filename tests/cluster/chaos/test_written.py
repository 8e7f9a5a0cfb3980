"""A trial in a file is the same trial; a wrong file is refused with what would be right."""

from pathlib import Path

import pytest
import yaml

from cluster.chaos.trial import Ask, At, Fault, Trial
from cluster.chaos.written import read_trial, write_trial

TRIAL = Trial(
    "17.3",
    {"name": "x", "seed": 3, "cluster": {"nodes": {"chip": {"workers": ["chip"]}}}},
    {"vocab_size": 300},
    (Ask("r0", (1, 20, 8), 4), Ask("r1", (2, 30, 0), 5, 70, 0.8, 2)),
    (
        Fault("f0", "drop", At("start", 2), ("*", "*"), "start", hits=(("a", "b", "start", 1),)),
        Fault("f1", "crash", At(ns=50), ("chip-0",), for_ns=9),
    ),
)


def test_what_was_written_is_read_as_the_same(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(write_trial(TRIAL, "exact: r0 heard 1\nsecond line"))
    assert read_trial(path) == TRIAL
    assert path.read_text().startswith("# exact: r0 heard 1\n# second line\n")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("asks",), 3, "asks: 3 must be a list"),
        (("asks", 0, "max_tokens"), "x", "asks.0.max_tokens: 'x': Input should be a valid integer"),
        (("asks", 0, "tokens"), 3, "asks.0.tokens: is no key here; these are: name, prompt, max"),
        (("faults", 0, "what"), "melt", "faults.0.what: 'melt' must be one of drop, duplicate"),
        (("faults", 1, "nodes"), ["a", "b"], "faults.1.nodes: ['a', 'b'] must name 1"),
        (("faults", 0, "hits"), [["a", "b"]], "faults.0.hits.0.2: "),
        (("more",), 1, "must have exactly the keys trial, scenario, model, asks, faults"),
    ],
)
def test_refused_with_what_would_do(
    place: tuple[str | int, ...], value: object, words: str, tmp_path: Path
) -> None:
    body = yaml.safe_load(write_trial(TRIAL))
    inner = body
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(body))
    with pytest.raises(ValueError) as refused:
        read_trial(path)
    assert words in str(refused.value) and str(path) in str(refused.value)
