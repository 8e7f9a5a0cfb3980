"""`perfuse chaos`: what it prints, writes, and exits with."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from tests.cluster.chaos.plants import stale_block_used

COMMON = ("--workers", "1", "--seeds", "2", "--first-seed", "0")


def said(*arguments: str, code: int) -> str:
    done = CliRunner().invoke(app, ["chaos", *arguments])
    assert done.exit_code == code, done.output
    return done.output


def test_search_says_what_it_did_in_its_last_line(tmp_path: Path) -> None:
    text = said("search", *COMMON, "--out", str(tmp_path / "out"), code=0)
    assert text.strip().splitlines()[-1].startswith("2 trials in ")
    assert text.strip().endswith("empty cells: no law broken")
    assert not (tmp_path / "out").exists()


def test_what_fails_is_reduced_written_and_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale_block_used(monkeypatch)
    text = said("search", *COMMON, "--out", str(tmp_path), code=1)
    assert "2 broken (exact 2)" in text.strip().splitlines()[-1]
    written = tmp_path / "0.yaml"
    assert written.with_suffix(".svg").read_text().startswith("<svg")
    again = said("replay", str(written), "--out", str(tmp_path / "again"), code=1)
    assert "0 faults" in again and "broken: exact 1" in again


def test_replay_of_what_holds(tmp_path: Path) -> None:
    text = said("replay", "3", "--out", str(tmp_path), code=0)
    assert text.startswith("trial 3: ") and text.strip().endswith("no law is broken")
    assert (tmp_path / "3.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("replay", "x"), "'x' names no trial: it must be a seed"),
        (("replay", "none.yaml"), "none.yaml"),
        (("search", "--budget", "soon"), "--budget 'soon': must be a time with its unit, as 60 s"),
    ],
)
def test_bad_input_is_told(arguments: tuple[str, ...], words: str) -> None:
    assert words in said(*arguments, code=2)


def test_no_time_is_no_trial() -> None:
    assert said("search", "--budget", "0 s", code=0).strip().endswith("no trial was run")


def test_ctrl_c_ends_a_search_with_what_it_found(tmp_path: Path) -> None:
    """As a terminal sends it: to its processes as well."""
    arguments = ("search", "--workers", "2", "--budget", "600 s", "--out", str(tmp_path))
    code = "from cluster.cli.main import app; app()"
    command = [sys.executable, "-c", code, "chaos", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as search:
        assert search.stdout is not None
        assert "Ctrl-C ends it" in search.stdout.readline()
        os.killpg(search.pid, signal.SIGINT)
        text, errors = search.communicate(timeout=120)
    assert search.returncode == 130 and not errors, errors
    last = text.strip().splitlines()[-1]
    assert " trials in " in last and last.endswith("no law broken")
