"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Scenario = Annotated[str, typer.Argument(help="a scenario file, or the name of a shipped one")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="replace a key of the scenario: cluster.dilation=1000", show_default=False
    ),
]
World = Annotated[
    str | None,
    typer.Option(
        help="virtual, process, local or ray; left out, the scenario's", show_default=False
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="of a Ray cluster: HOST:PORT or auto; left out, RAY_ADDRESS, or the "
        "one that `perfuse up` started here",
        show_default=False,
    ),
]
Attach = Annotated[
    str | None,
    typer.Option(help="in the cluster of this name, which `perfuse up` raised", show_default=False),
]
RecordRouting = Annotated[
    Path | None,
    typer.Option(
        help="write which experts tokens chose here, for model.routing.replay; virtual world",
        show_default=False,
        dir_okay=False,
    ),
]
