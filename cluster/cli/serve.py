"""`perfuse serve`: an OpenAI-compatible endpoint before a cluster on this machine."""

import signal
import threading

from cluster.cli.console import console
from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.live import live_world
from configs.schema import Scenario, load_scenario


def serve_http(name: str, changes: dict[str, object], host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM, then drain and stop everything.

    Raises ScenarioError, CheckpointError, or ValueError where the address cannot be had.
    """
    scenario = load_scenario(name, changes)
    if scenario.cluster.world == "virtual" and "cluster.world" not in changes:
        scenario = load_scenario(name, {**changes, "cluster.world": "local"})
    blueprint = Blueprint.draw(scenario)
    with live_world(blueprint, lambda step: console.print(f"[dim]{step}[/]")) as world:
        # Only now: Ray sets its own handlers when it starts.
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        try:
            url = world.ask_gateway("serve_http", host, port, GatewaySettings())
        except OSError as error:
            raise ValueError(f"--host {host} --port {port}: {error}") from error
        console.print(
            f"serving [bold]{scenario.model.name}[/] at [bold]{url}/v1[/]; stop with Ctrl-C"
        )
        _explain(scenario)
        # Waits in slices: a wait without end would keep Python from running the signal handler.
        while not ended.wait(0.5):
            continue
        console.print("draining")


def _explain(scenario: Scenario) -> None:
    """What a user should know of this endpoint."""
    if scenario.cluster.emulation:
        dilation = scenario.cluster.dilation
        console.print(
            f"[dim]emulated hardware, dilation {dilation:g}: 1 us of the cluster takes "
            f"{dilation / 1e3:g} ms here; --no-emulation serves as fast as this machine goes[/]"
        )
    for store in scenario.placement.collections:
        console.print(f'[dim]vector store "{store}": add "retrieval": {{"store": "{store}"}}[/]')
