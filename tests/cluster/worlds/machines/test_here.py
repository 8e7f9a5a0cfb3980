"""A cluster that outlives its command, on a Ray cluster that is started here for it."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.worlds.folder import place
from cluster.worlds.machines import joining, own_ray
from cluster.worlds.machines.own_ray import OwnRay
from cluster.worlds.session_processes import processes_of_session, ray_processes
from tests.cluster.worlds.machines.free import FREE


@pytest.fixture
def here() -> Iterator[dict[str, str]]:
    """An environment in which nothing is known yet, and all that is made lies in one folder."""
    with tempfile.TemporaryDirectory(prefix="pfh") as folder:
        plain = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        yield {**plain, "TMPDIR": folder, "XDG_STATE_HOME": f"{folder}/state"}
        left = processes_of_session(Path(folder), ray_processes())
        for process in left.values():
            process.kill()
        assert not left


def perfuse(here: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cluster.cli.main", *arguments]
    return subprocess.run(
        command, env=here, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.live
@pytest.mark.timeout(400)
def test_it_is_raised_found_used_and_taken_down_with_its_ray(here: dict[str, str]) -> None:
    done = perfuse(here, "up", "demo", *FREE)
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        done = perfuse(here, "status")
        assert done.returncode == 0 and "decode-1" in done.stdout, done.stderr
        load = ("--set", "workload.arrivals.closed.num_requests=8")
        done = perfuse(here, "run", "demo", *FREE, *load, "--attach", "demo")
        assert done.returncode == 0 and "8 of 8" in done.stdout, done.stdout + done.stderr
    finally:
        done = perfuse(here, "down")
    assert done.returncode == 0 and "so is Ray" in done.stdout, done.stderr
    assert not list(Path(here["TMPDIR"]).glob("perfuse-*"))
    assert not (Path(here["XDG_STATE_HOME"]) / "perfuse" / "ray.json").exists()
    done = perfuse(here, "status")
    assert done.returncode == 2 and "no Ray cluster is known" in done.stderr


def test_an_address_that_is_none_is_named(here: dict[str, str]) -> None:
    for address in ("nowhere", "10.0.0.1:", "10.0.0.1:port"):
        done = perfuse(here, "status", "--address", address)
        assert done.returncode == 2
        assert f"--address {address}: must be HOST:PORT" in done.stderr
    done = perfuse({**here, "RAY_ADDRESS": "nowhere"}, "status")
    assert done.returncode == 2 and "RAY_ADDRESS=nowhere: must be HOST:PORT" in done.stderr
    done = perfuse(here, "run", "demo", "--address", "10.0.0.1:6379")
    assert done.returncode == 2 and "name that one with --attach" in done.stderr
    done = perfuse(here, "serve", "demo", "--attach", "demo")
    assert done.returncode == 2 and "a scenario would change it" in done.stderr


def test_what_is_left_of_a_ray_that_is_gone_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose process lives and answers nobody is its owner's to end; another machine's stays."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = tmp_path / "perfuse-left"
    folder.mkdir()
    mute = OwnRay("127.0.0.1:9", "secret", str(folder), psutil.Process().pid, place())
    own_ray.remember(replace(mute, place="another machine's"))
    assert own_ray.state_file().stat().st_mode & 0o077 == 0, "a secret is in it"
    assert own_ray.own_ray() is None and own_ray.state_file().exists()
    own_ray.remember(mute)
    with pytest.raises(ValueError, match=r"does not answer at 127\.0\.0\.1:9: end its process"):
        own_ray.own_ray()
    own_ray.remember(replace(mute, pid=2**22 + 1))
    assert own_ray.own_ray() is None
    assert not folder.exists() and not own_ray.state_file().exists()


def test_of_two_who_look_for_a_ray_one_waits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    code = (
        "from cluster.worlds.machines.own_ray import one_at_a_time\n"
        "with one_at_a_time(): print('mine', flush=True)"
    )
    with own_ray.one_at_a_time():
        second = subprocess.Popen((sys.executable, "-c", code), stdout=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            second.communicate(timeout=3)
    assert second.communicate(timeout=120)[0] == b"mine\n"


def test_a_ray_that_another_command_uses_is_not_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    code = (
        "from cluster.worlds.machines.own_ray import Use\n"
        "use = Use(); print('mine', flush=True); input()"
    )
    with subprocess.Popen(
        (sys.executable, "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "mine\n"
        assert not own_ray.Use().end()
        other.communicate("\n", timeout=120)
    assert own_ray.Use().end()


def test_a_place_where_nothing_can_be_remembered_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"ray\.lock: Not a directory: .* set XDG_STATE_HOME"):
        own_ray.one_at_a_time().__enter__()
    assert not joining.end_unused_ray(), "who has joined none of ours looks at nothing"


def test_who_listens_and_says_nothing_is_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(ValueError, match="does not speak as Ray's head does"):
            joining._check_answers(address, f"--address {address}")


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        (RuntimeError("Version mismatch: Ray 2.9, Python 3.10"), "install the same version of Ray"),
        (RuntimeError("InvalidAuthToken: token is missing"), "set RAY_AUTH_MODE=token"),
        (ConnectionError("no route"), "Ray could not be joined: ConnectionError: no route"),
    ],
)
def test_what_ray_says_is_explained(said: Exception, explained: str) -> None:
    told: Any = joining._explained(said)
    assert explained in told and str(said) in told
