"""The style that a linter does not know, as tests: `make check` runs them with the linters.

Each rule lists every place that breaks it as `path:line: what`, so that one run shows all.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("cluster", "configs", "kernels", "protos", "workers")
FOLDERS = (*LAYERS, "benchmarks", "tests")
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")

COLUMNS_MAX = 100
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# Ratchets: what is longer than the limit, with its length today. An entry may only shrink, and goes
# once the limit is met; nothing may be added.
LONG_FILES = {"tests/workers/test_scheduler.py": 845, "workers/scheduler.py": 534}
LONG_FUNCTIONS: dict[str, int] = {}

# They make order depend on chance, or time on the machine: a Node gives workers what they need.
FORBIDDEN_MODULES = ("ray", "grpc", "ucxx", "time", "random")
FORBIDDEN_ASYNCIO = (
    "as_completed",
    "create_task",
    "ensure_future",
    "gather",
    "sleep",
    "TaskGroup",
    "timeout",
    "timeout_at",
    "wait",
    "wait_for",
)
# The files that do IO for all others, and what each may use.
ALLOWED: dict[str, tuple[str, ...]] = {
    "workers/actors.py": ("ray",),
    "workers/clock/live.py": ("time", *(f"asyncio.{name}" for name in FORBIDDEN_ASYNCIO)),
    "workers/clock/virtual.py": ("asyncio.create_task",),  # node.spawn starts tasks through it
    "workers/transport/grpc.py": ("grpc", *(f"asyncio.{name}" for name in FORBIDDEN_ASYNCIO)),
}
# Waits for tasks that it has cancelled itself; what they failed of before was reported then.
MAY_SWALLOW = ("workers/node.py",)
# Commands that talk to whoever started them.
MAY_PRINT = (
    "benchmarks/",
    "cluster/cli/",
    "configs/perfuse_tiny/",
    "protos/generate.py",
    "tests/golden/__main__.py",
    "tests/test_tidy.py",
)
# Files whose order of iteration reaches tokens, traces or messages.
ORDERED = ("workers/", "cluster/router/")

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


def test_columns() -> None:
    places = [
        f"{path}:{number}: {len(line)} columns"
        for path in texts()
        if not path.endswith(".md")
        for number, line in enumerate(lines(path), start=1)
        if len(line) > COLUMNS_MAX and "://" not in line
    ]
    none_of(places, f"At most {COLUMNS_MAX} columns:")


def test_no_notes_to_self() -> None:
    words = "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3))
    none_of(grep(re.compile(rf"\b({words})\b"), texts()), "Do it, or say why it is so:")


def test_no_paths_of_one_machine() -> None:
    pattern = re.compile(r"(?<![\w.$}])/(" + "tmp|root|home|work" + r")/")
    none_of(grep(pattern, texts()), "Use tempfile, tmp_path or an argument:")


def uses_of_chance(node: ast.AST) -> Iterator[str]:
    """Names of forbidden modules and asyncio calls in one node of the tree."""
    if isinstance(node, ast.Import):
        modules = [alias.name.split(".")[0] for alias in node.names]
        yield from (module for module in modules if module in FORBIDDEN_MODULES)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        top = node.module.split(".")[0]
        if top in FORBIDDEN_MODULES:
            yield top
        if top == "asyncio":
            yield from (f"asyncio.{a.name}" for a in node.names if a.name in FORBIDDEN_ASYNCIO)
    elif isinstance(node, ast.Attribute) and is_name(node.value, "asyncio"):
        if node.attr in FORBIDDEN_ASYNCIO:
            yield f"asyncio.{node.attr}"
    elif isinstance(node, ast.Attribute) and node.attr == "create_task":
        yield "asyncio.create_task"  # loop.create_task(...) is the same under another name


def is_name(node: ast.AST, *names: str) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def test_workers_take_time_tasks_and_chance_from_their_node() -> None:
    places = [
        f"{path}:{getattr(node, 'lineno', 0)}: {name}"
        for path in sources()
        if path.startswith("workers/")
        for node in ast.walk(tree(path))
        for name in uses_of_chance(node)
        if name not in ALLOWED.get(path, ())
    ]
    none_of(places, "Workers have node.clock, node.spawn, node.endpoint and node.rng instead:")


def swallows(handler: ast.ExceptHandler) -> bool:
    """Catches everything and does nothing about it."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    everything = any(t is not None and is_name(t, "Exception", "BaseException") for t in caught)
    idle = all(isinstance(s, ast.Pass | ast.Continue) for s in handler.body)
    return handler.type is None or (everything and idle)


def test_no_error_is_swallowed() -> None:
    places = [
        f"{path}:{node.lineno}: {lines(path)[node.lineno - 1].strip()}"
        for path in sources()
        if path not in MAY_SWALLOW
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and swallows(node)
    ]
    none_of(places, "Name what is expected, or handle it:")


def test_only_commands_print() -> None:
    places = [
        f"{path}:{node.lineno}: print"
        for path in sources()
        if not path.startswith(MAY_PRINT)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and is_name(node.func, "print")
    ]
    none_of(places, "Use node.trace, logging or a return value:")


def is_set(node: ast.AST, names: frozenset[str]) -> bool:
    """A set literal, comprehension or call, a sum of such, or a local name that holds one."""
    if isinstance(node, ast.BinOp):
        operators = ast.BitOr | ast.BitAnd | ast.BitXor | ast.Sub
        return isinstance(node.op, operators) and is_set(node.left, names)
    if isinstance(node, ast.Call):
        return is_name(node.func, "set", "frozenset")
    return isinstance(node, ast.Set | ast.SetComp) or is_name(node, *names)


def iterated(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions whose order of iteration this node passes on."""
    if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
        yield node.iter
    elif isinstance(node, ast.Call) and is_name(node.func, "list", "tuple", "enumerate", "iter"):
        yield from node.args[:1]
    elif isinstance(node, ast.Starred):
        yield node.value


def iterated_sets(scope: ast.AST) -> Iterator[int]:
    """Line numbers in one function where a set is iterated over, as far as one can see."""
    nodes = list(ast.walk(scope))
    assigned = [
        (target.id, node.value)
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    is_a_set = Counter(name for name, value in assigned if is_set(value, frozenset()))
    times = Counter(name for name, _ in assigned)
    names = frozenset(name for name in is_a_set if is_a_set[name] == times[name])
    yield from (e.lineno for node in nodes for e in iterated(node) if is_set(e, names))


def test_sets_are_never_iterated_where_order_matters() -> None:
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    found = {
        f"{path}:{number}: {lines(path)[number - 1].strip()}": None
        for path in sources()
        if path.startswith(ORDERED)
        for scope in ast.walk(tree(path))
        if isinstance(scope, functions)
        for number in iterated_sets(scope)
    }
    none_of(list(found), "Use a dict, a list or sorted():")


def functions_in(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    """(qualified name, lines) of each function; a nested one counts in its parent as well."""
    for child in ast.iter_child_nodes(node):
        name = prefix
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}{child.name}"
            if not isinstance(child, ast.ClassDef):
                yield name, (child.end_lineno or child.lineno) - child.lineno + 1
            name += "."
        yield from functions_in(child, name)


def ratchet(lengths: dict[str, int], limit: int, known: dict[str, int]) -> Places:
    """What is over the limit and was not known, and known entries that are out of date."""
    over = {name: length for name, length in lengths.items() if length > limit}
    grown = [
        f"{name}: {length} lines, at most {known.get(name, limit)}"
        for name, length in over.items()
        if length > known.get(name, limit)
    ]
    shrunk = [
        f"{name}: {over.get(name, 'within the limit')} by now, {length} in the ratchet: lower it"
        for name, length in known.items()
        if over.get(name, 0) < length
    ]
    return grown + shrunk


def test_functions_are_short() -> None:
    lengths = {
        f"{path}::{name}": length
        for path in sources()
        for name, length in functions_in(tree(path), "")
    }
    none_of(ratchet(lengths, FUNCTION_LINES_MAX, LONG_FUNCTIONS), "Split by decision:")


def test_files_are_short() -> None:
    lengths = {path: len(lines(path)) for path in sources()}
    none_of(ratchet(lengths, FILE_LINES_MAX, LONG_FILES), "One file, one decision:")


def test_ratchet_only_shrinks() -> None:
    assert ratchet({"a": 70}, 60, {"a": 70}) == []
    assert ratchet({"a": 71}, 60, {"a": 70}) == ["a: 71 lines, at most 70"]
    assert ratchet({"a": 61}, 60, {}) == ["a: 61 lines, at most 60"]
    assert "lower it" in ratchet({"a": 65}, 60, {"a": 70})[0]
    assert "within the limit" in ratchet({"a": 60}, 60, {"a": 70})[0]


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
    "module", ["cluster.router", "cluster.gateway", "cluster.workload", "workers.memory_server"]
)
def test_starts_without_torch(module: str) -> None:
    """These run in small processes; torch alone would cost 200 MiB and seconds in each."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr or f"{module} imports torch"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", ["time"]),
        ("from random import choice", ["random"]),
        ("import ray.util, json", ["ray"]),
        ("from asyncio import sleep, Event", ["asyncio.sleep"]),
        ("asyncio.gather(a, b)", ["asyncio.gather"]),
        ("loop.create_task(c)", ["asyncio.create_task"]),
        ("from . import time", []),
        ("node.clock.wait_until(t)", []),
    ],
)
def test_the_rule_about_chance_sees(source: str, found: Places) -> None:
    assert [n for node in ast.walk(ast.parse(source)) for n in uses_of_chance(node)] == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("for x in {1, 2}: pass", True),
        ("a = set(b)\nfor x in a: pass", True),
        ("[x for x in set(a) - b]", True),
        ("list(frozenset(a))", True),
        ("for x in sorted(set(a)): pass", False),
        ("a = set(b)\na = sorted(a)\nfor x in a: pass", False),
        ("x in {1, 2}", False),
    ],
)
def test_the_rule_about_sets_sees(source: str, found: bool) -> None:
    assert bool(list(iterated_sets(ast.parse(source)))) is found


def test_lines_per_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Not a rule but a number that should be looked at: how large each part has become."""
    count = Counter[str]()
    for path in sources():
        count[path.split("/")[0]] += len(lines(path))
    with capsys.disabled():
        print("\nlines:", ", ".join(f"{folder} {count[folder]:,}" for folder in FOLDERS))
    assert all(count[folder] for folder in FOLDERS)
