"""Started beside whatever its user calls workers, configs or numpy: ours are imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster import own_packages
from cluster.own_packages import NAMES, ROOT

# As an installed command: what its environment has comes last, the working directory not at all.
COMMAND = f"import sys; sys.path[0] = '/nowhere'; sys.path.append({str(ROOT)!r}); " + (
    "from cluster.cli.main import app; app()"
)
OTHERS = ("numpy", "yaml", "openai", "secrets", "demo")


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder in which each of our names, and some of others, is somebody else's."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('their {name}')\n")
    for name in OTHERS:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('their {name}')\n")
    return tmp_path


def run(
    folder: Path, *arguments: str, path: str | None = None, timeout_s: int = 60
) -> tuple[int, str]:
    """Python in that folder; PYTHONPATH is what is said, or nothing."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"PYTHONPATH": path} if path is not None else {}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout_s
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.live
@pytest.mark.timeout(200)
def test_the_local_world_stands_beside_them(beside: Path) -> None:
    """Ray's workers look into the working directory of whoever starts them."""
    small = ["cluster.emulation=false", "cluster.dilation=1"]
    small += ["workload.arrivals.closed.num_requests=4"]
    options = [word for change in small for word in ("--set", change)]
    code, told = run(
        beside, "-c", COMMAND, "run", "demo", "--world", "local", *options, timeout_s=180
    )
    assert code == 0 and "exact answers" in told and "100.0%" in told, told
    assert "their" not in told


@pytest.mark.parametrize("world", ["virtual", "process"])
def test_so_do_worlds_of_one_process(beside: Path, world: str) -> None:
    small = ["--set", "workload.arrivals.closed.num_requests=2", "--set", "cluster.dilation=1"]
    code, told = run(beside, "-c", COMMAND, "run", "demo", "--world", world, *small)
    assert code == 0 and "100.0%" in told, told


@pytest.mark.parametrize("path", [".", ""])
def test_wherever_the_path_leads(beside: Path, path: str) -> None:
    """PYTHONPATH comes before what is installed, and an empty one is the working directory's."""
    for name in ("cluster", *OTHERS):  # whoever leads Python to those has asked for them
        for place in (beside / name / "__init__.py", beside / f"{name}.py"):
            place.unlink(missing_ok=True)
    (beside / "cluster").rmdir()
    code, told = run(beside, "-c", COMMAND, "show", "demo", path=f"{path}:{ROOT}")
    assert code == 0 and "11 nodes" in told, told
    code, told = run(beside, "-m", "cluster.cli.main", "show", "demo", path=str(ROOT))
    assert code == 0 and "11 nodes" in told, told


def test_one_that_was_imported_before_ours_is_named(beside: Path) -> None:
    (beside / "workers" / "__init__.py").write_text("")
    both = f"import sys, workers; sys.path.remove({str(beside)!r}); sys.path.remove(''); "
    code, told = run(beside, "-c", both + "import cluster", path=f"{beside}:{ROOT}")
    assert code == 1
    assert f"ImportError: {beside / 'workers'} was imported as `workers`, which Perfuse's" in told
    assert str(ROOT / "workers") in told and "environment of its own" in told


def test_a_second_claim_changes_nothing() -> None:
    before = list(sys.meta_path)
    own_packages.claim()
    assert sys.meta_path == before and before.count(own_packages.OwnPackages) == 1
