"""What becomes of a Ray that does not start. Ray itself is a stand-in here: it fails on demand."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.own_packages import ROOT
from cluster.worlds import ray_session
from cluster.worlds.ray_settings import SETTINGS


class HalfStartedRay:
    """Starts a process, writes a log, and fails as often as it is told, as Ray does."""

    def __init__(self, failures: int) -> None:
        self.failures, self.interrupted = failures, False
        self.started: list[subprocess.Popen[bytes]] = []
        self.settings: dict[str, Any] = {}
        self.address = "127.0.0.1"
        self.util = self

    def get_node_ip_address(self) -> str:
        return self.address

    def init(self, **settings: Any) -> None:
        self.settings = settings
        settings["_system_config"]["object_spilling_config"] = "Ray adds this"
        folder = Path(settings["_temp_dir"])
        logs = folder / "session_2026" / "logs"
        logs.mkdir(parents=True)
        (logs / "raylet.err").write_text("early\n" * 50 + "no room left\n")
        wait = [sys.executable, "-c", "input()", str(folder / "socket")]
        self.started.append(subprocess.Popen(wait, stdin=subprocess.PIPE))
        if self.interrupted:
            raise KeyboardInterrupt
        if len(self.started) <= self.failures:
            raise Exception("timed out during startup")  # Ray's own class for it

    def shutdown(self) -> None: ...


@pytest.fixture
def failing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    stand_in = HalfStartedRay(request.param)
    monkeypatch.setattr(ray_session, "ray", stand_in)
    yield stand_in
    for process in stand_in.started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("failing", [1], indirect=True)
def test_a_second_try_follows_in_a_folder_of_its_own(
    failing: HalfStartedRay, tmp_path: Path
) -> None:
    ray_session.start_ray(tmp_path)
    first, second = failing.started
    assert first.poll() is not None, "the first try's process was left"
    assert second.poll() is None, "the second try's process was ended"
    assert {path.name for path in tmp_path.iterdir()} == {"ray1", "ray2"}


@pytest.mark.parametrize("failing", [1], indirect=True)
def test_handles_of_a_failed_try_have_seen_its_end(failing: HalfStartedRay, tmp_path: Path) -> None:
    """Else they complain when they are let go, whoever runs then."""
    ray_session.start_ray(tmp_path)
    assert [handle.returncode is None for handle in failing.started] == [False, True]


@pytest.mark.parametrize("failing", [9], indirect=True)
def test_it_gives_up_with_ray_s_last_words_and_leaves_nothing(
    failing: HalfStartedRay, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="2 attempts: timed out during startup") as caught:
        ray_session.start_ray(tmp_path)
    assert "raylet.err: no room left" in str(caught.value)
    assert str(caught.value).count("\n") <= 12
    assert not [p for p in failing.started if psutil.pid_exists(p.pid) and p.poll() is None]


@pytest.mark.parametrize("failing", [0], indirect=True)
def test_nodes_are_no_nicer_than_what_runs_beside_them(
    failing: HalfStartedRay, tmp_path: Path
) -> None:
    """At Ray's own niceness of 15, three busy processes kept a cluster from standing at all."""
    ray_session.start_ray(tmp_path)
    assert failing.settings["_system_config"]["worker_niceness"] == 0


@pytest.mark.parametrize("failing", [0], indirect=True)
def test_a_session_s_folder_is_not_the_next_one_s(failing: HalfStartedRay, tmp_path: Path) -> None:
    """It would be made again, for good: the first session has removed it."""
    ray_session.start_ray(tmp_path)
    assert "object_spilling_config" not in SETTINGS


@pytest.mark.parametrize("failing", [0], indirect=True)
def test_ctrl_c_while_ray_starts_leaves_no_process(failing: HalfStartedRay, tmp_path: Path) -> None:
    failing.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        ray_session.start_ray(tmp_path)
    assert len(failing.started) == 1
    assert not psutil.pid_exists(failing.started[0].pid)


@pytest.mark.parametrize("failing", [0], indirect=True)
def test_a_ray_that_listens_elsewhere_is_none_of_ours(
    failing: HalfStartedRay, tmp_path: Path
) -> None:
    """As one does that was imported before it could be told."""
    failing.address = "192.0.2.2"
    with pytest.raises(RuntimeError, match=r"listens on 192\.0\.2\.2, not on 127\.0\.0\.1 alone"):
        ray_session.start_ray(tmp_path)
    assert not [p for p in failing.started if psutil.pid_exists(p.pid) and p.poll() is None]


@pytest.mark.parametrize("failing", [0], indirect=True)
def test_workers_look_for_modules_where_ours_are_alone(
    failing: HalfStartedRay, tmp_path: Path
) -> None:
    """Not in the working directory, which Ray would add."""
    ray_session.start_ray(tmp_path)
    places = failing.settings["job_config"]._py_driver_sys_path
    places.extend([str(tmp_path)])
    assert places == [str(ROOT)]
    assert (ROOT / "workers" / "actors.py").is_file()
