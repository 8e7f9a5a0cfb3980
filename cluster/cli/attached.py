"""What commands do in a cluster that stands on a Ray cluster, and goes on when they end."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from cluster.cli.console import console
from cluster.cli.until_signal import until_signal
from cluster.gateway.settings import GatewaySettings
from configs.schema.wires import LOOPBACK

if TYPE_CHECKING:
    from cluster.worlds.machines.world import AttachedWorld

SERVED_NO_MORE = "nobody is served any more: another command has ended it"


def joined(name: str | None, address: str | None) -> "AttachedWorld":
    """The cluster of that name, or the only one. Raises ValueError or PeerDead."""
    from cluster.worlds.machines.joining import join

    join(address)
    # Only now: Ray reads its settings when it is loaded.
    from cluster.worlds.machines.standing import the_cluster
    from cluster.worlds.machines.world import attached

    return attached(the_cluster(name))


def check_alone(attach: str, others: Mapping[str, object]) -> None:
    """Raises ValueError for what says of a cluster how it is to be, where one stands already."""
    for name, value in others.items():
        if value:
            raise ValueError(
                f"--attach {attach}: the cluster stands, and {name} would change it: leave {name} "
                "out, or raise another cluster with `perfuse up`"
            )


def check_attached(address: str | None) -> None:
    """Raises ValueError for an address that nobody would look at."""
    if address is not None:
        raise ValueError(
            f"--address {address}: is of a Ray cluster on which a cluster stands: name that one "
            "with --attach, or raise it with `perfuse up`"
        )


def serve_anywhere(
    where: tuple[str | None, str | None, str | None, int],
    names: tuple[str | None, str],
    changes: dict[str, object],
    settings: GatewaySettings,
) -> None:
    """In a cluster that stands, or in one of a scenario. where: --attach, --address, --host,
    --port; names: the scenario that was named, and the one if none was. Raises what either does.
    """
    from cluster.cli.serve import serve_http

    attach, address, host, port = where
    scenario, fallback = names
    if attach is None:
        check_attached(address)
        serve_http(scenario or fallback, changes, host or LOOPBACK, port, settings)
    else:
        check_alone(attach, {"a scenario": scenario, **changes})
        serve_attached(attach, address, host, port, settings)


def serve_attached(
    name: str, address: str | None, host: str | None, port: int, settings: GatewaySettings
) -> None:
    """Serve from the gateway's machine until SIGINT or SIGTERM; the cluster goes on. Whoever is
    killed in between leaves the endpoint as it is.
    """
    world = joined(name, address)
    try:
        url = world.serve(host, port, settings)
    except OSError as error:
        raise ValueError(f"--host {host or 'left out'} --port {port}: {error}") from error
    model = world.blueprint.scenario.model.name
    with until_signal() as ended:
        console.print(f"serving [bold]{model}[/] at [bold]{url}/v1[/]; stop with Ctrl-C")
        told = (url, "")
        for _ in ended.between_checks():
            with suppress(TimeoutError):  # a keeper that is slow to answer is none that is gone
                told = _tell_changes(world.serving(), told)
    console.print("draining; the cluster goes on. Once more does not wait for it")
    world.stop_serving()


def _tell_changes(now: tuple[str, str], told: tuple[str, str]) -> tuple[str, str]:
    """A gateway that comes back may listen elsewhere, or not at all."""
    if now != told:
        url, problem = now
        console.print(f"serving at [bold]{url}/v1[/]" if url else problem or SERVED_NO_MORE)
    return now
