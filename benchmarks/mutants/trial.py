"""One fault in a copy of the tree, and what the tests say there."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutants.folders import ROOT
from benchmarks.mutants.noticing import TimedTest, rounds

# What a round of tests may take: three times as long as when they were measured, and so may the
# imports. Who takes longer hangs, and somebody would notice.
TIMES, START_S = 3.0, 20.0
TIMEOUT = "timeout"
PASSED = 0  # pytest's exit code


class BrokenCopy(RuntimeError):
    """Tests fail in the copy without any fault: what they say of faults is worth nothing."""


@dataclass(frozen=True)
class Verdict:
    """found_by   the first test that failed, "timeout", or "" where nobody noticed
    num_tests  how many were asked at most
    """

    found_by: str
    num_tests: int


@contextmanager
def copy_of_tree() -> Iterator[Path]:
    """All files that git knows or would, and the native library; gone with the block."""
    command = ("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others")
    listed = subprocess.run(
        (*command, "--exclude-standard"), capture_output=True, check=True, text=True
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    files += (ROOT / "kernels").rglob("*.so")
    with tempfile.TemporaryDirectory(prefix="perfuse-mutant-") as folder:
        for file in files:
            if file.is_file():
                target = Path(folder) / file.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, target)
        yield Path(folder)


def check_copy(tree: Path, tests: Sequence[TimedTest]) -> None:
    """Raise BrokenCopy unless the tests pass in the copy as it is."""
    for part in rounds(tests):
        if failed := _ask(tree, part):
            raise BrokenCopy(f"without a fault, in {tree}: {failed}")


def tried(tree: Path, path: str, text: str, tests: Sequence[TimedTest]) -> Verdict:
    """Write the mutated text, ask the tests, put the file back as it was."""
    for part in rounds(tests):
        if found_by := _search(tree, tree / path, text, part):
            return Verdict(found_by, len(tests))
    return Verdict("", len(tests))


def _search(tree: Path, file: Path, text: str, tests: Sequence[TimedTest]) -> str:
    """Who takes too long has not noticed anything on a machine that is as slow without the fault:
    then both are given more time.
    """
    times = TIMES
    while True:
        with _planted(file, text):
            found_by = _ask(tree, tests, times)
        if found_by != TIMEOUT or _ask(tree, tests, times) != TIMEOUT:
            return found_by
        times *= 2


@contextmanager
def _planted(file: Path, text: str) -> Iterator[None]:
    was, times = file.read_bytes(), file.stat()
    file.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        file.write_bytes(was)
        # Compiled files are known by time and size: the copy's own fit again.
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def _ask(tree: Path, tests: Sequence[TimedTest], times: float = TIMES) -> str:
    names = tree / ".mutant-tests"
    names.write_text("\n".join(test.name for test in tests), encoding="utf-8")
    command = (
        sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:randomly",
        "-p", "no:cacheprovider", "--tb=no", "-rfE", f"@{names}",
    )  # fmt: skip
    limit_s = times * (sum(test.seconds for test in tests) + START_S)
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
    asked = subprocess.Popen(
        command, cwd=tree, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = asked.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        return TIMEOUT
    finally:
        _end(asked)
    if asked.returncode == PASSED:
        return ""
    failed = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0] if failed else f"exit code {asked.returncode}"


def _end(asked: "subprocess.Popen[str]") -> None:
    """It and all that it started: they are one session."""
    if asked.poll() is None:
        os.killpg(asked.pid, signal.SIGKILL)
        asked.communicate()
