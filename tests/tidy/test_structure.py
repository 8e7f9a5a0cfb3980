"""Folders say what they are, imports have no circles, and the project keeps its own settings."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.tidy.files import LAYERS, ROOT, lines, none_of, sources, tree


def imported(path: str) -> Iterator[str]:
    """Our files that a file imports, wherever in it: at the top, inside a function, for types."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield from filter(None, [file_of(name)])


def file_of(name: str) -> str:
    """The file that `a.b.c` names: a module, a package, or what a module of ours defines."""
    parts = name.split(".")
    for end in (len(parts), len(parts) - 1):
        stem = "/".join(parts[:end])
        for path in (f"{stem}.py", f"{stem}/__init__.py"):
            if path in sources():
                return path
    return ""


def test_no_circle_of_imports_inside_a_layer() -> None:
    graph = {path: set(imported(path)) - {path} for path in sources() if path.startswith(LAYERS)}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        none_of(list(reversed(error.args[1])), "These import each other in a circle:")


def says_what_it_is(folder: Path) -> bool:
    """A page or a module docstring; a folder without code may be named by the one above it."""
    init = folder / "__init__.py"
    if any(folder.glob("README*")):
        return True
    if init.exists():
        return bool(ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))))
    above = (*folder.parent.glob("README*"), folder.parent / "__init__.py")
    return any(folder.name in p.read_text(encoding="utf-8") for p in above if p.exists())


def test_each_folder_says_what_it_is() -> None:
    folders = [p for layer in LAYERS for p in (ROOT / layer, *(ROOT / layer).rglob("*"))]
    places = [
        str(p.relative_to(ROOT))
        for p in sorted(folders)
        if p.is_dir() and "__pycache__" not in p.parts and any(p.iterdir())
        if not says_what_it_is(p)
    ]
    none_of(places, "A module docstring or a README is missing in:")


def test_make_help_lists_all_targets() -> None:
    targets: list[str] = []
    for line in "\n".join(lines("Makefile")).replace("\\\n", " ").splitlines():
        if line.startswith((".PHONY:", "BENCHMARKS :=")):
            targets += [word for word in line.split()[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
    assert {"demo", "test", "check", "verify", "bench-logits", "clean", "help"} <= set(targets)
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    none_of([t for t in targets if f"make {t} " not in shown], "make help does not list:")


def distribution(name: str) -> str:
    """The name in a requirement, as the index spells it."""
    return re.split(r"[^A-Za-z0-9._-]", name)[0].lower().replace("_", "-")


def test_dependencies_are_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    pins = [line for line in lines("constraints.txt") if not line.startswith("#")]
    none_of([p for p in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", p)], "Not an exact version:")
    pinned = [distribution(pin) for pin in pins]
    none_of([a for a in asked if distribution(a) not in pinned], "Not in constraints.txt:")


@pytest.mark.parametrize(
    "module",
    ["cluster.router", "cluster.gateway", "cluster.workload", "workers.memory"],
)
def test_starts_without_torch(module: str) -> None:
    """These run in small processes; torch alone would cost 200 MiB and seconds in each."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr or f"{module} imports torch"
