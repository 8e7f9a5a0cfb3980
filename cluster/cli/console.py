"""Where commands print, and how their errors look: one clear message, exit code 2, no stack
trace.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from configs.outside import Unreadable
from configs.schema import ScenarioError
from configs.yaml_text import load_yaml
from workers.errors import PerfuseError

console = Console()
# What a user can mend: bad scenarios, checkpoints, indexes, files and requests.
USER_ERRORS = (
    PerfuseError,
    ScenarioError,
    ValueError,
    OSError,
)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn what the user can mend into a message; what is our bug stays a stack trace."""
    try:
        yield
    except USER_ERRORS as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from error


def warn(text: str) -> None:
    """Something that is not as a user may think, but no reason to stop."""
    Console(stderr=True).print(f"[yellow]warning:[/] {escape(text)}", soft_wrap=True)


def overrides(assignments: Sequence[str]) -> dict[str, object]:
    """`--set cluster.dilation=1000` as {"cluster.dilation": 1000}; values are YAML."""
    result: dict[str, object] = {}
    for assignment in assignments:
        key, sign, value = assignment.partition("=")
        if not sign or not key:
            raise ValueError(
                f"--set {assignment!r}: it must be KEY=VALUE, e.g. cluster.dilation=1000"
            )
        try:
            result[key] = load_yaml(value)
        except Unreadable as error:
            raise Unreadable(f"--set {key}: {error}") from error
    return result
