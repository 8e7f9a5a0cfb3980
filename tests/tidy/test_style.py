"""How a line may read. Each rule lists every place that breaks it as `path:line: what`, so that one
run shows all.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.tidy.files import Places, grep, is_name, lines, none_of, sources, texts, tree

COLUMNS_MAX = 100

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
    "workers/host/clock/live.py": tuple(f"asyncio.{name}" for name in FORBIDDEN_ASYNCIO),
    "workers/host/clock/source.py": ("time",),
    "workers/host/clock/virtual.py": ("asyncio.create_task",),  # node.spawn starts tasks through it
    "workers/wire/transport/door.py": tuple(f"asyncio.{name}" for name in FORBIDDEN_ASYNCIO),
    "workers/wire/transport/door_links.py": tuple(f"asyncio.{name}" for name in FORBIDDEN_ASYNCIO),
    "workers/wire/transport/grpc_library.py": ("grpc",),
    "workers/wire/transport/grpc_links.py": ("asyncio.create_task", "asyncio.wait_for"),
    "workers/wire/transport/linked.py": ("asyncio.gather", "asyncio.wait_for"),
    "workers/wire/transport/links.py": ("asyncio.create_task",),
    "workers/wire/transport/tls.py": ("asyncio.timeout",),
    "workers/wire/transport/ucx_library.py": ("ucxx",),
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
    "tests/tidy/test_sizes.py",
)
# Files whose order of iteration reaches tokens, traces or messages.
ORDERED = ("workers/", "cluster/router/")


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
