"""Which tests may notice a fault: those that run its lines, the nearest first."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from benchmarks.mutants.folders import ROOT, TESTS

# A fault is looked for so long, as tests take without it. What they have not noticed by then
# counts as unnoticed.
SEARCH_S = 120.0
# First those nearby, in a process that stands at once; then all others.
NEAR_S = 10.0


@dataclass(frozen=True)
class TimedTest:
    name: str
    seconds: float


class Seen:
    """The map that the plugin `seen` has written."""

    def __init__(self, path: Path) -> None:
        read = json.loads(path.read_text(encoding="utf-8"))
        pairs = zip(read["tests"], read["seconds"], strict=True)
        self._tests = [TimedTest(name, seconds) for name, seconds in pairs]
        self._files: dict[str, dict[str, list[int]]] = read["files"]
        self.failed: list[str] = read["failed"]

    def __len__(self) -> int:
        return len(self._tests)

    def tests_of(self, path: str, lines: Iterable[int]) -> list[TimedTest]:
        """Tests that run one of the lines. What runs while modules are imported is of no test: then
        all that run anything of the file, and of a file that only declares, all there are. The
        nearest first: their folder is the file's, then the quickest.
        """
        seen = self._files.get(path, {})
        numbers = {number for line in lines for number in seen.get(str(line), ())}
        is_imported = any(str(line) in seen and not seen[str(line)] for line in lines)
        if not numbers and is_imported:
            numbers = {number for found in seen.values() for number in found}
            numbers = numbers or set(range(len(self._tests)))
        tests = [self._tests[number] for number in sorted(numbers)]
        return sorted(
            tests, key=lambda test: (-_nearness(path, test.name), test.seconds, test.name)
        )


def rounds(tests: Sequence[TimedTest]) -> list[list[TimedTest]]:
    """Those nearby, then the others, within SEARCH_S in all."""
    near: list[TimedTest] = []
    others: list[TimedTest] = []
    sum_s = 0.0
    for test in tests:
        if sum_s + test.seconds > SEARCH_S:
            continue
        sum_s += test.seconds
        (near if sum_s <= NEAR_S else others).append(test)
    return [part for part in (near, others) if part]


def _nearness(path: str, test: str) -> int:
    """Folders that the test's file has in common with the mutated one, beneath `tests`; one more
    if it is named after it.
    """
    file = PurePath(test.split("::")[0])
    count = 0
    for mine, other in zip(PurePath(path).parent.parts, file.parent.parts[1:], strict=False):
        if mine != other:
            break
        count += 1
    return 2 * count + (PurePath(path).stem in file.stem)


def measured(folder: Path) -> Path:
    """The map of this tree, measured if it is not there: minutes."""
    path = folder / f"seen-{_state()}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        command = (
            sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:randomly",
            "-p", "benchmarks.mutants.seen", "--seen", str(partial), "-m", "not live", *TESTS,
        )  # fmt: skip
        subprocess.run(command, cwd=ROOT, check=False, stdout=sys.stderr)
        partial.replace(path)
    return path


def _state() -> str:
    """Changes with any of the project's Python files."""
    digest = hashlib.sha256()
    for top in ("cluster", "configs", "kernels", "protos", "tests", "workers"):
        for path in sorted((ROOT / top).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
