"""Options of `perfuse model`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli.console import console

if TYPE_CHECKING:
    from cluster.cli.model_fit import Asked

Name = Annotated[
    str | None,
    typer.Argument(
        help="a shipped description, a config.json or the folder that has it", show_default=False
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="place it on chips with this preset's memory", show_default=False),
]
Degree = Annotated[
    int | None,
    typer.Option(min=1, help="ranks; left out, the fewest chips that do", show_default=False),
]
Shards = Annotated[
    int, typer.Option(min=0, help="shards of experts; 0: experts stand beside attention")
]
Context = Annotated[
    int | None,
    typer.Option(min=1, help="tokens of a sequence; left out, the model's own", show_default=False),
]
Json = Annotated[
    Path | None,
    typer.Option("--json", help="write the figures here", show_default=False, dir_okay=False),
]


def show_model(name: str | None, asked: "Asked", json_file: Path | None) -> None:
    """Print, and write where asked. Raises ValueError for what cannot be described or placed."""
    from cluster.cli.model import as_json, list_models, render_model, write_json

    if name is None:
        if asked.device is not None or json_file is not None:
            raise ValueError("which model? Name one: perfuse model lists those that are shipped")
        console.print(list_models())
        return
    console.print(render_model(name, asked))
    if json_file is not None:
        write_json(json_file, as_json(name, asked))
        console.print(f"written: {json_file}")
