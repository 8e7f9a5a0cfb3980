"""`perfuse certs`: what it asks, and what it tells."""

from pathlib import Path
from typing import Annotated

import typer

from cluster.cli.console import clear_errors, console
from configs.certificates import CA, CA_KEY, CERTIFICATE, KEY, Certificates


def certs(
    folder: Annotated[Path, typer.Argument(help="where to make them")],
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="a machine's name or address, for nodes that listen there; localhost always is "
            "one; may be repeated",
            show_default=False,
        ),
    ] = None,
    days: Annotated[int, typer.Option(help="how long they are valid")] = 365,
    overwrite: Annotated[bool, typer.Option(help="replace those that are there")] = False,
) -> None:
    """Make a cluster's certificates, by which its nodes know each other (TLS)."""
    from configs.new_certificates import make_certificates

    with clear_errors():
        made = make_certificates(folder, host or (), days=days, overwrite=overwrite)
    console.print(told(made), soft_wrap=True)


def told(made: Certificates) -> str:
    """What was made, and what is next."""
    return (
        f"{made.folder}, for nodes of one cluster, until {made.until} (folder 0700, files 0600):\n"
        f"  {CA}     the cluster's authority: who shows what it signed is let in\n"
        f"  {CERTIFICATE}   what a node shows\n"
        f"  {KEY}   proves that it is the node's\n"
        f"  {CA_KEY}     signs more of them; no node needs it: keep it elsewhere\n"
        f"next: --set cluster.certificates={made.folder}, in world local with transport grpc"
    )
