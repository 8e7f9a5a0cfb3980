"""An earlier commit's files, taken out of this repository's history while they are needed."""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The last one before the seams were opened: what this tree must not be slower than.
COMMIT = "086191e"


class NoEarlierTree(RuntimeError):
    """The earlier commit cannot be had here; says why."""


def add_option(parser: argparse.ArgumentParser) -> None:
    """`--earlier FOLDER`; see `earlier_tree`."""
    parser.add_argument(
        "--earlier",
        type=Path,
        metavar="FOLDER",
        help=f"a checkout of {COMMIT}; taken out of the history if not given",
    )


@contextmanager
def earlier_tree(
    checkout: Path | None, *, native: bool, commit: str | None = None
) -> Iterator[Path]:
    """A folder with the earlier commit's files: the given checkout, or one that ends with the
    block.

    commit   another than COMMIT
    native   build its native kernels, where they are not: a minute on two cores

    Raises NoEarlierTree if the history lacks the commit (a shallow clone, an archive), ValueError
    if `checkout` is no checkout of ours.
    """
    commit = commit or COMMIT
    if checkout is not None:
        if not (checkout / "workers" / "__init__.py").is_file():
            raise ValueError(f"--earlier {checkout}: it must be a checkout of {commit}")
        _prepare(checkout, native, commit)
        yield checkout.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="perfuse-earlier-") as folder:
        tree = Path(folder)
        with tarfile.open(fileobj=io.BytesIO(_archive(commit))) as files:
            files.extractall(tree, filter="data")
        _prepare(tree, native, commit)
        yield tree


def _archive(commit: str) -> bytes:
    command = ("git", "-C", str(ROOT), "archive", commit)
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise NoEarlierTree("git is not installed here") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise NoEarlierTree(f"this repository's history lacks {commit} ({said})")
    return done.stdout


def _prepare(tree: Path, native: bool, commit: str) -> None:
    if not native or list((tree / "kernels" / "native").glob("_lib*.so")):
        return
    # It says itself what is missing; without the library the reference kernels are used, and this
    # tree would be beside something else.
    command = (sys.executable, "-m", "kernels.native.build")
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoEarlierTree(f"the kernels of {commit} cannot be built: {done.stderr.strip()}")
