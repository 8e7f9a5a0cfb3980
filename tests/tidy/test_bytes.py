"""What comes from elsewhere is bytes, numbers and text: nothing of it is ever made into an object
that runs, be it from a socket, a file or shared memory.
"""

import ast
from collections.abc import Iterator

from tests.tidy.files import LAYERS, is_name, none_of, sources, tree

# They turn bytes into any object whatever, or read such bytes from a socket by themselves.
FORBIDDEN = (
    "_pickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "multiprocessing",
    "pickle", "shelve", "xmlrpc",
)  # fmt: skip
UNSAFE_CALLS = ("eval", "exec")
UNSAFE_LOADS = ("yaml.full_load", "yaml.load", "yaml.unsafe_load")


def made_into_objects(node: ast.AST) -> Iterator[str]:
    """What one node of the tree would run that came from elsewhere."""
    if isinstance(node, ast.Import):
        names = [alias.name.split(".")[0] for alias in node.names]
        yield from (name for name in names if name in FORBIDDEN)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        if (top := node.module.split(".")[0]) in FORBIDDEN:
            yield top
    elif isinstance(node, ast.Call):
        yield from _unsafe(node)


def _unsafe(call: ast.Call) -> Iterator[str]:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    pickled = given.get("allow_pickle")
    if pickled is not None and not _is(pickled, False):
        yield "allow_pickle"
    if is_name(call.func, *UNSAFE_CALLS):
        yield ast.unparse(call.func)
    name = ast.unparse(call.func)
    if name == "torch.load" and not _is(given.get("weights_only"), True):
        yield "torch.load without weights_only=True"
    if name in UNSAFE_LOADS:
        yield name


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_nothing_is_unpickled() -> None:
    places = [
        f"{path}:{getattr(node, 'lineno', 0)}: {what}"
        for path in sources()
        if path.split("/")[0] in LAYERS
        for node in ast.walk(tree(path))
        for what in made_into_objects(node)
    ]
    none_of(places, "Read it as frames, JSON, safetensors or plain arrays:")


def test_the_rule_finds_what_it_forbids() -> None:
    written = {
        "import pickle": ["pickle"],
        "import numpy, marshal": ["marshal"],
        "from multiprocessing.connection import Listener": ["multiprocessing"],
        "np.load(f, allow_pickle=True)": ["allow_pickle"],
        "np.load(f, allow_pickle=anything)": ["allow_pickle"],
        "np.load(f, allow_pickle=False)": [],
        "eval(said)": ["eval"],
        "model.eval()": [],
        "torch.load(f)": ["torch.load without weights_only=True"],
        "torch.load(f, weights_only=True)": [],
        "yaml.load(text)": ["yaml.load"],
        "yaml.safe_load(text)": [],
    }
    found = {
        code: [what for node in ast.walk(ast.parse(code)) for what in made_into_objects(node)]
        for code in written
    }
    assert found == written
