"""`perfuse serve`: an OpenAI-compatible endpoint before a cluster on this machine."""

import asyncio

import kernels
from cluster.cli.console import console
from cluster.cli.until_signal import until_signal
from cluster.gateway.http.listening import listen
from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.choice import live_world
from cluster.worlds.tending import Tending
from configs.schema import Scenario, load_scenario


def serve_http(
    name: str,
    changes: dict[str, object],
    host: str,
    port: int,
    settings: GatewaySettings,
) -> None:
    """Serve until SIGINT or SIGTERM, then drain and stop everything; a second one does not wait.

    Raises ScenarioError, CheckpointError, ValueError where the address cannot be had, PeerDead
    where what serves has died.
    """
    scenario = load_scenario(name, changes)
    if scenario.cluster.world == "virtual" and "cluster.world" not in changes:
        scenario = load_scenario(name, {**changes, "cluster.world": "local"})
    if "cluster.dilation" in changes and not scenario.cluster.emulation:
        raise ValueError(
            f"cluster.dilation: is {changes['cluster.dilation']}, and emulation is off, where "
            "nothing is dilated: leave it out, or add --emulation"
        )
    blueprint = Blueprint.draw(scenario)
    _check_address(host, port)
    with live_world(blueprint, lambda step: console.print(f"[dim]{step}[/]")) as world:
        with until_signal() as ended:
            try:
                url = world.ask_gateway("serve_http", host, port, settings)
            except OSError as error:
                raise _no_address(host, port, error) from error
            console.print(
                f"serving [bold]{scenario.model.name}[/] at [bold]{url}/v1[/]; stop with Ctrl-C"
            )
            _explain(scenario)
            tending = Tending(world, lambda: ended.has_come)
            for _ in ended.between_checks():
                world.check_serves()
                tending.look()
        console.print("draining; once more ends it at once")


def _check_address(host: str, port: int) -> None:
    """Before anything starts: a model may load for minutes."""
    try:
        asyncio.run(listen(host, port)).close()
    except OSError as error:
        raise _no_address(host, port, error) from error


def _no_address(host: str, port: int, error: OSError) -> ValueError:
    return ValueError(f"--host {host} --port {port}: {error}")


def _explain(scenario: Scenario) -> None:
    """What a user should know of this endpoint."""
    if scenario.cluster.world == "process":
        console.print(f"[dim]{kernels.build_info()}[/]")  # what computes: without them it is slow
    if scenario.cluster.emulation:
        dilation = scenario.cluster.dilation
        console.print(
            f"[dim]emulated hardware, dilation {dilation:g}: 1 us of the cluster takes "
            f"{dilation / 1e3:g} ms here; --no-emulation serves as fast as this machine goes[/]"
        )
    for store in scenario.placement.collections:
        console.print(f'[dim]vector store "{store}": add "retrieval": {{"store": "{store}"}}[/]')
