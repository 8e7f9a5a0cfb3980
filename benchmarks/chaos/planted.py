"""Are the checkers worth anything? Each planted bug must be found by `perfuse chaos search`, within
200 trials from seed 0 on.

    python -m benchmarks.chaos.planted                    # all of them: some minutes each at most
    python -m benchmarks.chaos.planted --only block-leaked

Bugs are patches, `tests/chaos/planted/*.patch`; the first line of each says what is wrong with it.
One at a time is applied in a copy of the tree, so none is ever in shipped code.

Expected: all are found. Those that break an answer, a block or a call by the first shape that has
what they are about: 5 themes of shapes take turns, 8 seeds each, so within 40 seeds. Those that
need two things at once (a death in the middle of a hand-over, a stream that goes on with one token
to come) within 200.

What came out so far: 10 of the 14 that were tried in full or nearly so, each within 72 trials. Not
found: p4-part-of-its-keys in 200, epoch-ignored and p4-pins-kept in 160, deadline-forgotten in 64.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.mutants.folders import ROOT
from benchmarks.mutants.trial import copy_of_tree
from benchmarks.rows import Row, arguments, report, wide_console

FOLDER = ROOT / "tests" / "chaos" / "planted"
SEEDS, TIMEOUT_S = 200, 900
FOUND, NOTHING = 1, 0  # exit codes of the search


@dataclass(frozen=True, slots=True)
class Patch:
    """what   is wrong with it, as its first line says"""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def what(self) -> str:
        return self.path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")


def patches(only: Sequence[str] = (), folder: Path = FOLDER) -> list[Patch]:
    """By name. Raises ValueError for a name that no patch has."""
    found = {path.stem: Patch(path) for path in sorted(folder.glob("*.patch"))}
    for name in only:
        if name not in found:
            raise ValueError(f"--only {name}: must be one of {', '.join(found)}")
    return [patch for name, patch in found.items() if not only or name in only]


def applies(patch: Patch, tree: Path) -> str:
    """What git says against it; "" where it applies."""
    return _git(tree, "apply", "--check", str(patch.path))


@contextmanager
def planted(patch: Patch, tree: Path) -> Iterator[None]:
    """It is in the tree, and out of it again. Raises ValueError where it does not apply."""
    if said := _git(tree, "apply", str(patch.path)):
        raise ValueError(f"{patch.path}: does not apply: {said}")
    try:
        yield
    finally:
        _git(tree, "apply", "--reverse", str(patch.path))


def _git(tree: Path, *command: str) -> str:
    # No repository may stand around the tree: git would take paths from its root.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(tree.parent)}
    done = subprocess.run(
        ("git", *command), cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    return done.stderr.strip() if done.returncode else ""


def searched(tree: Path, seeds: int, timeout_s: float = TIMEOUT_S) -> tuple[int | None, str]:
    """Exit code, and the last line, of a search in that tree; None: it took too long."""
    with TemporaryDirectory(prefix="perfuse-planted-") as out:
        command = (
            sys.executable, "-m", "cluster.cli.main", "chaos", "search", "--seeds", str(seeds),
            "--workers", "1", "--budget", f"{timeout_s} s", "--no-shrink", "--until-broken",
            "--out", out,
        )  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
        asked = subprocess.Popen(
            command, cwd=tree, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            said, _ = asked.communicate(timeout=timeout_s * 2)
        except subprocess.TimeoutExpired:
            return None, "it took too long"
        finally:  # it and all that it started: they are one session
            if asked.poll() is None:
                os.killpg(asked.pid, signal.SIGKILL)
                asked.communicate()
    lines = [line for line in said.splitlines() if line.strip()]
    return asked.returncode, lines[-1] if lines else ""


def row(patch: Patch, code: int | None, said: str) -> Row:
    is_found = code == FOUND and "broken" in said
    value = "found" if is_found else "not found" if code == NOTHING else "failed to run"
    bar = f"found within {SEEDS} trials"
    if is_found:
        value = f"found: trial {said.rsplit(': ', 1)[1].split()[0]}"
    return Row(f"{patch.name}: {patch.what}", value, "", bar, is_found, f"measured: {said}")


def rows(chosen: Sequence[Patch], seeds: int) -> Iterator[Row]:
    """First the tree as it is, in which as many trials find nothing; then one row for each."""
    with copy_of_tree() as tree:
        code, said = searched(tree, seeds)
        name, is_quiet = "without a planted bug", code == NOTHING
        value = "nothing found" if is_quiet else "found something"
        yield Row(name, value, "", "nothing found", is_quiet, f"measured: {said}")
        for patch in chosen:
            with planted(patch, tree):
                yield row(patch, *searched(tree, seeds))


def main() -> None:
    parser = arguments(__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    found = []
    for one in rows(patches(given.only), given.seeds):
        wide_console().print(f"{one.value}: {one.name} ({one.evidence})", highlight=False)
        found.append(one)
    sys.exit(report(found, given.json, "planted bugs"))


if __name__ == "__main__":
    main()
