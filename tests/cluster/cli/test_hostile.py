"""Commands given what no user means: exit code 2, one line, no stack trace, at once."""

import gc
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app

BOMB = "a: &a [x, x]\n" + "".join(
    f"b{i}: &b{i} [{', '.join(['*a' if i == 0 else f'*b{i - 1}'] * 10)}]\n" for i in range(9)
)


def refuse(*arguments: str) -> str:
    """What a command says as it refuses; the error on one line, or a line a problem."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    assert isinstance(result.exception, SystemExit) and "Traceback" not in result.output
    assert len(result.output) < 1200, result.output
    return result.output


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "once its aliases are written out"),
        ("name: " + "[" * 900, "nested more than 64 deep"),
        ("cluster: {nodes: {decode: {link: {latency: 1e99999999 us}}}}", "out of range"),
        ("base: demo\ncluster: {dilation: 1.0e+400}", "dilation"),
        ("base: [[[]]]", "base is [["),
        ("\0", "unprintable"),
        ("a: 9999999999999999999999", "must fit 64 bits"),
        ("base: demo\nseed: !!float 1e400", "seed"),
    ],
)
def test_scenario_files(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    assert told in refuse("show", str(path)).replace("\n", " ")


@pytest.mark.timeout(60)
def test_scenarios_that_are_no_files(tmp_path: Path) -> None:
    pipe, loop = tmp_path / "pipe.yaml", tmp_path / "loop.yaml"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    assert "is a pipe" in refuse("show", str(pipe))
    assert "symbolic links" in refuse("run", str(loop))
    assert "is a device" in refuse("run", "/dev/zero")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("cluster.nodes.decode.link.latency=1e99999999 us", "out of range"),
        ("workload.arrivals.closed.num_requests=1000000000000", "num_requests"),
        ("workload.prompts.questions.path=/dev/zero", "is a device"),
        ("cluster.dilation=.inf", "dilation"),
        ("seed=" + "9" * 5000, "not valid YAML"),
        ("seed=" + "[" * 900, "nested more than"),
        ("seed={a: 1, a: 2}", "stands twice"),
        ("seed=[", "not valid YAML"),
        ("seed=*a", "not valid YAML"),
        ("a\0b=1", "a\0b"),
        ("x" * 10_000 + "=1", "there is no key"),
        ("model.path=/dev/zero", "/dev/zero"),
    ],
)
def test_set(value: str, told: str) -> None:
    assert told in refuse("run", "demo", "--set", value).replace("\n", "")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 900 + "]" * 900, "nested too deep"),
        ("[NaN]", "holds NaN"),
        ("[1e400]", "holds 1e400"),
        ("1 2 x", "'x' is no token id"),
        ("9" * 6000, "is no token id"),
        ("[99999999999]", "from 0 to 2147483647"),
        ('{"a": 1}', "every prompt must be"),
        ("[[1], 2]", "every prompt must be"),
        ("[]", "every prompt must be"),
        ("\0", "is no token id"),
    ],
)
def test_ids(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "ids"
    path.write_text(text)
    assert told in refuse("generate", str(tmp_path), "--ids", str(path)).replace("\n", " ")


@pytest.mark.timeout(60)
def test_ids_that_are_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "is a pipe" in refuse("generate", str(tmp_path), "--ids", str(pipe)).replace("\n", " ")
    assert "is a device" in refuse("generate", str(tmp_path), "--ids", "/dev/zero")


def test_a_cluster_that_cannot_stand_up(caplog: pytest.LogCaptureFixture) -> None:
    """All messages are lost, so no collection is loaded: one line, and every task has ended."""
    lost = 'faults=[{"type": "drop"}]'
    told = refuse("run", "demo", "--set", lost, "--set", "slo.deadline=10 ms")
    gc.collect()
    assert told.strip() == "error: shard_create to memory-0 was not answered in time"
    assert caplog.messages == []
