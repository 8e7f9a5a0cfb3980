"""`perfuse rolling`: every worker of a cluster that serves begins anew, one after the other."""

import time
from typing import Any

import typer

from cluster.cli.console import clear_errors, console
from cluster.cli.gateway_admin import LOCAL, Key, Url, ask_admin

LOOK_EVERY_S = 0.5


def rolling(url: Url = LOCAL, admin_key: Key = None) -> None:
    """Restart every node of a cluster that serves, in turn; no request fails meanwhile."""
    with clear_errors():
        told = ask_admin("POST", url, admin_key, "/restarts", json={})
        shown = 0
        while True:
            shown = _show(told, shown)
            if told["status"] in ("done", "failed"):
                break
            time.sleep(LOOK_EVERY_S)
            told = ask_admin("GET", url, admin_key, "/restarts")
    if told["status"] == "failed":
        console.print(f"[red]stopped:[/] {told['error']}", soft_wrap=True)
        raise typer.Exit(1)
    console.print(f"{len(told['steps'])} nodes have restarted")


def _show(told: Any, shown: int) -> int:
    """The steps that were not shown yet."""
    for step in told["steps"][shown:]:
        console.print(f"[dim]{step}[/]")
    return len(told["steps"])
