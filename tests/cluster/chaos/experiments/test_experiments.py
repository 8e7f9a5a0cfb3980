"""An experiment from its file to its verdict and page; files that are wrong; those shipped."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cluster.chaos.experiments.page import page
from cluster.chaos.experiments.phases import run_experiment, stages_of
from cluster.chaos.experiments.schema import experiment_path, load_experiment, shipped
from cluster.cli.main import app
from configs.schema import ScenarioError

SMALL: dict[str, Any] = {
    "about": "a decode chip dies",
    "expects": "nobody notices much",
    "scenario": {"set": {"model.numerics": "digest"}},
    "load": {"requests": 12, "every": "40 us", "output_length": 8},
    "faults": [{"type": "crash", "node": "decode-1", "start": "300 us"}],
    "recovery": {"after": "1 ms", "requests": 2},
    "hypothesis": ["failed == 0", "wrong_tokens == 0", "recovery.failed == 0", "fired == 1"],
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


def said(*arguments: str, code: int) -> str:
    done = CliRunner().invoke(app, ["chaos", *arguments])
    assert done.exit_code == code, done.output
    return done.output


def test_what_holds_and_its_page(tmp_path: Path) -> None:
    html = tmp_path / "pages" / "small.html"
    text = said("run", str(written(tmp_path)), "--html", str(html), code=0)
    assert "small: the hypothesis holds (4 comparisons)" in text
    body = html.read_text()
    HTMLParser().feed(body)
    assert body.count("<svg") == 3 and "decode-1: crash at 0.3 ms" in body
    # Nothing is fetched: the one address is SVG's name.
    assert {*re.findall(r"https?://[^\"' ]+", body)} == {"http://www.w3.org/2000/svg"}
    assert "<script" not in body and "<link" not in body


def test_what_does_not_hold_exits_with_1(tmp_path: Path) -> None:
    path = written(tmp_path, hypothesis=["answered == 11", "failed == 0"])
    text = said("run", str(path), code=1)
    assert "small: 1 of 2 comparisons do not hold" in text


def test_a_fault_that_never_strikes_shows_nothing(tmp_path: Path) -> None:
    late = {"type": "crash", "node": "decode-1", "start": "10 s"}
    text = said("run", str(written(tmp_path, faults=[late], hypothesis=["failed == 0"])), code=1)
    assert "no fault struck: nothing was tried" in text


def test_an_experiment_repeats_itself(tmp_path: Path) -> None:
    path = written(tmp_path, about="a <b>tag</b> & more")
    first, again = (run_experiment(load_experiment(path), path) for _ in range(2))
    hashes = [phase.trace_hash for phase in first.phases.values()]
    assert hashes == [phase.trace_hash for phase in again.phases.values()]
    assert hashes[0] != hashes[1] and page(first) == page(again)
    assert "a &lt;b&gt;tag&lt;/b&gt; &amp; more" in page(first)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hypothesis": ["p9 < 1 s"]}, "hypothesis: 'p9 < 1 s': there is no measure 'p9'"),
        ({"hypothesis": []}, "hypothesis: is []"),
        ({"load": {"requests": 3}}, "load.every: is missing: it must be given"),
        ({"load": {"requests": 3, "every": 4}}, "load.every: 4 has no unit"),
        ({"lod": 1}, "lod: there is no key 'lod' here: did you mean 'load'?"),
        ({"recovery": None}, "names the recovery phase, and there is none: give the key recovery"),
        ({"faults": []}, "nothing goes wrong: give faults, storm or rolling_restart"),
        ({"faults": [{"type": "melt"}]}, "faults.0.type: is 'melt'"),
        ({"faults": [{"type": "crash", "node": "decode-7"}]}, "no node or worker is called"),
        ({"scenario": {"base": "dem"}}, "no scenario is called 'dem': did you mean 'demo'?"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    text = said("run", str(written(tmp_path, **changes)), code=2)
    assert words in " ".join(text.split())


def test_unknown_names_are_refused_with_the_nearest() -> None:
    assert "did you mean 'client-storm'?" in said("run", "client-strom", code=2)


@pytest.mark.parametrize("name", shipped())
def test_those_shipped_can_stand(name: str) -> None:
    """They are run by `make bench-chaos`."""
    path = experiment_path(name)
    found = load_experiment(path)
    try:
        stages_of(found, path)
    except ScenarioError as error:
        pytest.fail(str(error))
    assert "wrong_tokens == 0" in found.hypothesis and found.came_out


def test_all_are_listed() -> None:
    text = said("list", code=0)
    assert len(shipped()) >= 12
    assert all(name[:12] in text for name in shipped())
