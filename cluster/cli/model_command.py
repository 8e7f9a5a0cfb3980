"""`perfuse model`: what it asks, and what it tells."""

from pathlib import Path
from typing import Annotated

import typer

from cluster.cli.console import clear_errors, console

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
    typer.Option(
        min=1, max=65_536, help="ranks; left out, the fewest chips that do", show_default=False
    ),
]
Shards = Annotated[
    int,
    typer.Option(min=0, max=65_536, help="shards of experts; 0: experts stand beside attention"),
]
Context = Annotated[
    int | None,
    typer.Option(min=1, help="tokens of a sequence; left out, the model's own", show_default=False),
]
Json = Annotated[
    Path | None,
    typer.Option("--json", help="write the figures here", show_default=False, dir_okay=False),
]


def model(
    name: Name = None,
    device: Device = None,
    tensor: Degree = None,
    pipeline: Degree = None,
    shards: Shards = 0,
    context: Context = None,
    json_file: Json = None,
) -> None:
    """What a model is, from sizes alone: parameters, stored weights, KV, layers, what can run it.
    Without a name: all shipped descriptions.
    """
    from cluster.cli.model import as_json, list_models, render_model, write_json
    from cluster.cli.model_fit import Asked

    with clear_errors():
        asked = Asked(device, tensor, pipeline, shards, context)
        if name is None and (device is not None or json_file is not None):
            raise ValueError("which model? Name one: perfuse model lists those that are shipped")
        if device is None and (tensor or pipeline or shards or context):
            raise ValueError(
                "ranks and context say how a model lies on chips: name theirs with --device"
            )
        console.print(list_models() if name is None else render_model(name, asked))
        if name is not None and json_file is not None:
            write_json(json_file, as_json(name, asked))
            console.print(f"written: {json_file}")
