"""`perfuse serve`: an OpenAI-compatible endpoint before a cluster of processes on this machine."""

import signal
import threading

from cluster.cli.console import console
from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import local_world
from configs.schema import load_scenario


def serve_http(name: str, changes: dict[str, object], host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM, then drain and stop everything."""
    blueprint = Blueprint.draw(load_scenario(name, changes))
    with local_world(blueprint, lambda step: console.print(f"[dim]{step}[/]")) as world:
        # Only now: Ray sets its own handlers when it starts.
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        url = world.ask_gateway("serve_http", host, port, GatewaySettings())
        model = blueprint.scenario.model.name
        console.print(f"serving [bold]{model}[/] at [bold]{url}/v1[/]; stop with Ctrl-C")
        if blueprint.scenario.cluster.emulation:
            dilation = blueprint.scenario.cluster.dilation
            console.print(
                f"[dim]emulated hardware, dilation {dilation:g}: 1 us of the cluster takes "
                f"{dilation / 1e3:g} ms here; --no-emulation serves as fast as this machine goes[/]"
            )
        for store in blueprint.scenario.placement.collections:
            console.print(
                f'[dim]vector store "{store}": add "retrieval": {{"store": "{store}"}}[/]'
            )
        # Waits in slices: a wait without end would keep Python from running the signal handler.
        while not ended.wait(0.5):
            continue
        console.print("draining")
