"""The project's files as these tests read them, each once."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("cluster", "configs", "kernels", "protos", "workers")
FOLDERS = (*LAYERS, "benchmarks", "tests")
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")

Places = list[str]


@cache
def sources() -> tuple[str, ...]:
    """Our Python files, as paths from the root; generated ones are not ours."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return tuple(str(p.relative_to(ROOT)) for p in paths if not GENERATED.search(p.name))


@cache
def texts() -> tuple[str, ...]:
    """All files that people write: sources, protos, presets, pages and settings, not data."""
    suffixes = (".py", ".proto", ".yaml", ".md", ".toml", ".cpp", ".cu", ".h", ".jinja")
    paths = [p for folder in FOLDERS for p in sorted((ROOT / folder).rglob("*"))]
    paths += [*sorted(p for p in ROOT.iterdir() if p.suffix in suffixes), ROOT / "Makefile"]
    wanted = (p for p in paths if p.suffix in suffixes or p.name == "Makefile")
    return tuple(str(p.relative_to(ROOT)) for p in wanted if not GENERATED.search(p.name))


@cache
def lines(path: str) -> tuple[str, ...]:
    return tuple((ROOT / path).read_text(encoding="utf-8").splitlines())


@cache
def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=path)


def grep(pattern: re.Pattern[str], paths: tuple[str, ...]) -> Places:
    return [
        f"{path}:{number}: {line.strip()[:80]}"
        for path in paths
        for number, line in enumerate(lines(path), start=1)
        if pattern.search(line)
    ]


def none_of(places: Places, rule: str) -> None:
    if places:
        pytest.fail("\n".join([rule, *places]), pytrace=False)


def is_name(node: ast.AST, *names: str) -> bool:
    return isinstance(node, ast.Name) and node.id in names
