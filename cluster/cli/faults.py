"""`perfuse faults add|list|remove`: what goes wrong on the links of a cluster that runs."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cluster.cli.console import clear_errors, console, overrides
from cluster.cli.gateway_admin import LOCAL, Key, Url, ask_admin

app = typer.Typer(
    help="What goes wrong on the links of a cluster that serves: add, list, remove.",
    no_args_is_help=True,
)

_AIM = ("name", "source", "destination", "direction", "kind", "toxicity", "start", "duration")


def _aim(text: str) -> Any:
    return typer.Option(help=text, show_default=False)


@app.command()
def add(
    type_: Annotated[
        str,
        typer.Argument(
            metavar="TYPE",
            help="latency, reorder, stall, drop, duplicate, corrupt, bandwidth or partition",
        ),
    ],
    attributes: Annotated[
        list[str] | None,
        typer.Argument(help='KEY=VALUE of its attributes: latency="5 ms"', show_default=False),
    ] = None,
    name: Annotated[str | None, _aim("to remove it by")] = None,
    source: Annotated[str | None, _aim("worker or node that sends")] = None,
    destination: Annotated[str | None, _aim("worker or node that is sent to")] = None,
    direction: Annotated[str | None, _aim("to, from or both")] = None,
    kind: Annotated[str | None, _aim("kind of message: dispatch")] = None,
    toxicity: Annotated[str | None, _aim("share of messages that are hit: 10 %")] = None,
    start: Annotated[str | None, _aim("emulated time from now on: 2 ms")] = None,
    duration: Annotated[str | None, _aim("emulated time; left out, for good")] = None,
    url: Url = LOCAL,
    admin_key: Key = None,
) -> None:
    """Let something go wrong from now on: perfuse faults add latency latency="5 ms" jitter="1 ms"
    --destination experts-1 --toxicity "10 %"
    """
    values = (name, source, destination, direction, kind, toxicity, start, duration)
    aimed = {key: value for key, value in zip(_AIM, values, strict=True) if value is not None}
    with clear_errors():
        body: dict[str, Any] = {"type": type_, **aimed}
        if attributes:
            body["attributes"] = _with_recording(overrides(attributes))
        stands = _ask("POST", url, admin_key, json=body)
        console.print(f"[bold]{stands['name']}[/] stands")


@app.command("list")
def list_(url: Url = LOCAL, admin_key: Key = None) -> None:
    """Show every fault that stands."""
    import yaml

    with clear_errors():
        faults = _ask("GET", url, admin_key)["data"]
        text = yaml.safe_dump(faults, sort_keys=False, allow_unicode=True) if faults else "none"
        console.print(text.rstrip(), markup=False, highlight=False, soft_wrap=True)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="as `list` shows it")],
    url: Url = LOCAL,
    admin_key: Key = None,
) -> None:
    """Take a fault away."""
    from urllib.parse import quote

    with clear_errors():
        _ask("DELETE", url, admin_key, f"/{quote(name, safe='')}")
        console.print(f"[bold]{name}[/] is gone")


def _with_recording(attributes: Mapping[str, object]) -> dict[str, object]:
    """A recording is a file of whoever asks: the delays in it are sent."""
    from cluster.faults.replay import read_delays
    from configs.units import DURATION

    found = dict(attributes)
    path = found.pop("path", None)
    if path is not None:
        found["delays"] = [DURATION.format(delay_ns) for delay_ns in read_delays(str(path))]
    return found


def _ask(method: str, url: str, key: str | None, path: str = "", **options: Any) -> Any:
    return ask_admin(method, url, key, f"/faults{path}", **options)
