"""Which clients there are, and what each must be able to do: read from the files that do it."""

import ast
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clients.paths import INSIDE, python_of
from benchmarks.clients.setup import VERSIONS


@dataclass(frozen=True)
class Client:
    """A client by its environment's name, and the files that use it there."""

    name: str
    files: tuple[str, ...]

    @property
    def version(self) -> str:
        """What the environment is pinned to: of several packages the first names the client."""
        return VERSIONS[self.name][0].partition("==")[2]

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(INSIDE / f"{file}.py" for file in self.files)

    @property
    def is_here(self) -> bool:
        return python_of(self.name).exists()


CLIENTS = (
    Client(
        "openai",
        ("openai_client", "openai_shaped", "openai_responses", "openai_others", "openai_stores"),
    ),
    Client("litellm", ("litellm_client",)),
    Client("langchain-openai", ("langchain_client",)),
    Client("llama-index", ("llama_index_client",)),
    Client("instructor", ("instructor_client",)),
    Client("openai-agents", ("agents_client",)),
    Client("guidellm", ("guidellm_client",)),
    Client("aiperf", ("aiperf_client",)),
    Client("inference-perf", ("inference_perf_client",)),
)


def features_of(path: Path) -> list[str]:
    """The features of a client's file, in its order, without the client: FEATURES lists functions,
    and a function's docstring names its feature."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    named = {
        node.name: ast.get_docstring(node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FEATURES":
            assert isinstance(node.value, ast.Tuple)
            return [str(named[ast.unparse(element)]) for element in node.value.elts]
    raise ValueError(f"{path} has no FEATURES")


def chosen(names: list[str] | None) -> list[Client]:
    """The clients with these names, or all. Raises ValueError on a name that is none."""
    known = [client.name for client in CLIENTS]
    for name in names or ():
        if name not in known:
            raise ValueError(f"--only {name}: it must be one of {', '.join(known)}")
    return [client for client in CLIENTS if not names or client.name in names]
