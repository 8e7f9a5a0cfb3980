"""The process of the live tests ends with them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = """
import os, pytest
from pathlib import Path
from tests.conftest import _name_group
from tests.live_apart import LiveApart

def pytest_xdist_make_scheduler(config, log):
    return LiveApart(config, log)

def pytest_collection_modifyitems(config, items):
    for item in items:
        if config.getoption("loadgroup", False) and item.get_closest_marker("xdist_group"):
            _name_group(item, "live")

@pytest.fixture(autouse=True)
def told(request):
    with (Path(__file__).parent / "told").open("a") as file:
        file.write(f"{os.getpid()} {request.node.name}\\n")
"""
TESTS = """
import time, pytest

@pytest.mark.xdist_group("live")
@pytest.mark.parametrize("i", range(3))
def test_live(i):
    pass

@pytest.mark.parametrize("i", range(9))
def test_other(i):
    time.sleep(0.05)
"""


@pytest.mark.parametrize("processes", ["1", "3"])
def test_it_runs_nothing_else_if_there_are_others(tmp_path: Path, processes: str) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(tmp_path)]
    command += ["-n", processes, "--dist", "loadgroup", "--no-loadscope-reorder"]
    done = subprocess.run(
        [*command, "-p", "no:randomly", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    lines = [line.split(" ", 1) for line in (tmp_path / "told").read_text().splitlines()]
    assert len(lines) == 12
    live = {pid for pid, name in lines if name.startswith("test_live")}
    others = {pid for pid, name in lines if name.startswith("test_other")}
    assert len(live) == 1
    assert (live == others) if processes == "1" else not live & others
