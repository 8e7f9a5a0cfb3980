"""What all tests share: one thread for arithmetic, repeatable properties, live tests one by one."""

import fcntl
import os
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import psutil
import pytest
from _pytest.nodeid import coerce_node_id
from hypothesis import settings

from tests import last_words
from tests.live_apart import LIVE, LiveApart
from tests.standstill import Standstill

# Before torch and faiss are loaded: two cores are shared with the other test processes and with
# everything that a live test starts, and one thread gives the same sums everywhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Before triton is loaded, by whatever: its interpreter needs no GPU. TRITON_INTERPRET=0 runs the
# twins on the GPU that is here.
os.environ.setdefault("TRITON_INTERPRET", "1")

# "ci" tries the same examples every time; `pytest --hypothesis-profile explore` looks for new ones.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile("ci")

ROOT = Path(__file__).resolve().parent.parent


# Tests that start processes, in the order of running; "" are all others.
ALONE = "alone"
ORDER = (LIVE, "", ALONE)
STANDSTILL = pytest.StashKey[Standstill]()
# A file that is open and locked while this process runs such tests, and no other of this tree does.
_turn: list[int] = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    """Live tests form a group, which `-n 3 --dist loadgroup` gives to a process of its own
    (`live_apart`). It comes first:
    a cluster that starts is many processes, which get their share of the cores beside those that
    compute, and often waits. What is marked `alone`, as it measures time, is a group that comes
    last, whatever else the order is: the others have little left by then. So do those that load
    UCX, which writes jumps over the C library's mmap, munmap, madvise and others: what comes before
    runs without them.
    """
    groups = {item: _group(item) for item in items}
    for item, group in groups.items():
        if group:
            item.add_marker(pytest.mark.xdist_group(group))
    yield
    if config.getoption("loadgroup", False):  # in a process of xdist's
        for item, group in groups.items():
            _name_group(item, group)
    items.sort(key=lambda item: ORDER.index(groups[item]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    return LiveApart(config, log) if config.getoption("dist", "") == "loadgroup" else None


def _name_group(item: pytest.Item, group: str) -> None:
    """xdist's scheduler reads a group from the end of an id. xdist 3.8 writes it to where pytest
    9.2 no longer has the id: then no group would stay together.
    """
    if group and not item.nodeid.endswith(f"@{group}"):
        item._id = coerce_node_id(f"{item.nodeid}@{group}")


def _group(item: pytest.Item) -> str:
    if item.get_closest_marker(ALONE) or "ucx" in item.nodeid:
        return ALONE
    return LIVE if item.get_closest_marker(LIVE) else ""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """One process has the turn of both groups, until its next test is of neither: where there is
    little else to run, the second would begin beside the first. No time of the wait is the test's.
    """
    last_words.hear_again()
    if _group(item) and not _turn:
        _turn.append(os.open(__file__, os.O_RDONLY))
        fcntl.flock(_turn[0], fcntl.LOCK_EX)  # goes with the process, whatever ends it
    try:
        return (yield)
    finally:
        if _turn and not (nextitem and _group(nextitem)):
            os.close(_turn.pop())


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> None:
    """Holds also where OMP_NUM_THREADS was set to more outside; costs nothing without torch."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model_folder() -> Path:
    """The checkpoint folder of perfuse-tiny, in Hugging Face's layout."""
    return ROOT / "configs" / "perfuse_tiny" / "model"


@pytest.hookimpl(trylast=True)  # after pytest's own way of showing how a process died
def pytest_configure(config: pytest.Config) -> None:
    """A shell starts what runs in its background without SIGINT, and so would be what tests start
    to see it end by Ctrl-C.
    """
    given = getattr(config, "workerinput", None)
    if given is not None:
        last_words.hear(Path(given["last_words"]), given["workerid"])
        return
    config.stash[STANDSTILL] = Standstill()
    if config.pluginmanager.hasplugin("dsession"):
        folder = tempfile.TemporaryDirectory(prefix="perfuse-tests-")
        config.add_cleanup(folder.cleanup)
        config.pluginmanager.register(last_words.LastWords(Path(folder.name)))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
    exitstatus: int | pytest.ExitCode,
    config: pytest.Config,
) -> None:
    """What failed may have failed for want of this."""
    for line in config.stash[STANDSTILL].end():
        terminalreporter.write_line(line)
    if exitstatus:
        memory, disk = psutil.virtual_memory(), psutil.disk_usage(tempfile.gettempdir())
        terminalreporter.write_line(
            f"machine: {os.cpu_count()} cores, a load of {os.getloadavg()[1]:.1f} over 5 minutes, "
            f"{memory.available >> 20:,} MiB of memory free, {disk.free >> 20:,} MiB of disk"
        )
