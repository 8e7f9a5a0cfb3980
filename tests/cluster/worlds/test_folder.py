"""What a killed driver left is cleared by the next start, and nothing else is."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.worlds.folder import OWNER, clear_after_the_dead, own_folder

WAIT = "import sys; f = [open(n, 'w') for n in sys.argv[1:] if n.endswith('.out')]; input()"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def left_by_the_dead(parent: Path) -> Path:
    """A folder with the owner file that a process wrote which is no more."""
    code = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from cluster.worlds.folder import own_folder\n"
        "import os\n"
        "with own_folder() as folder: print(folder, flush=True); os._exit(9)"
    )
    told = subprocess.run([sys.executable, "-c", code, parent], capture_output=True, text=True)
    folder = Path(told.stdout.strip())
    assert told.returncode == 9 and (folder / OWNER).is_file(), told.stderr
    return folder


def wait_in(started: list[subprocess.Popen[bytes]], *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WAIT, *words]
    started.append(subprocess.Popen(command, stdin=subprocess.PIPE))
    return started[-1]


def test_a_dead_owner_s_folder_and_ray_processes_go(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """One names the folder, one has only a file open there, as Ray's agents do."""
    folder = left_by_the_dead(tmp_path)
    names = wait_in(started, "/x/site-packages/ray/raylet", f"{folder}/socket")
    (tmp_path / "elsewhere").symlink_to(folder)
    holds = wait_in(started, "ray::Agent", str(tmp_path / "elsewhere" / "agent.out"))
    while not (folder / "agent.out").exists():
        assert holds.poll() is None
    clear_after_the_dead(tmp_path)
    assert not folder.exists()
    assert not any(psutil.pid_exists(process.pid) for process in (names, holds))


def test_what_is_not_ray_s_is_left_running(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """Somebody reads a log of the dead cluster."""
    folder = left_by_the_dead(tmp_path)
    reader = wait_in(started, f"{folder}/raylet.out")
    while not (folder / "raylet.out").exists():
        assert reader.poll() is None
    clear_after_the_dead(tmp_path)
    assert reader.poll() is None and not folder.exists()


def test_a_living_owner_s_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with own_folder() as first, own_folder() as second:
        assert first.is_dir() and second.is_dir()
    assert not first.exists() and not second.exists()


@pytest.mark.parametrize("field", [1, 2, 3])
def test_only_what_is_certain_counts(tmp_path: Path, field: int) -> None:
    """A living process id with another start is another process (1): its owner is dead. Ids of
    another boot (2) or PID namespace (3) say nothing.
    """
    with own_folder() as mine:
        words = (mine / OWNER).read_text().split()
    words[field] = "7"
    folder = tmp_path / "perfuse-abcdefgh"
    folder.mkdir()
    (folder / OWNER).write_text(" ".join(words))
    clear_after_the_dead(tmp_path)
    assert folder.exists() == (field != 1)


@pytest.mark.parametrize("told", [None, "", "x y z w", "1"])
def test_a_folder_that_does_not_say_whose_it_is_stays(tmp_path: Path, told: str | None) -> None:
    folder = tmp_path / "perfuse-abcdefgh"
    folder.mkdir()
    if told is not None:
        (folder / OWNER).write_text(told)
    clear_after_the_dead(tmp_path)
    assert folder.is_dir()


def test_what_the_dead_left_in_shared_memory_goes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next start of any cluster: a segment whose process was killed as it was made."""
    left = left_by_the_dead(tmp_path)
    segment = left / "ucx_shm_posix_1234"
    segment.write_bytes(bytes(4096))
    monkeypatch.setattr("cluster.worlds.folder.SHARED_MEMORY", tmp_path)
    with own_folder() as folder:
        assert not left.exists() and folder.parent != tmp_path
