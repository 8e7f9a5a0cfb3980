"""A Ray Serve application before a cluster's gateway, as a RayService of Kubernetes asks for it:

    import_path: cluster.worlds.machines.ingress:app
    args: {scenario: /etc/perfuse/demo.yaml}

Serve's proxies take the requests, a replica passes them on (cluster/worlds/machines/forward.py).
Importing this file imports no Ray: `ray.serve` is an extra of Ray's.
"""

import asyncio
from functools import partial
from typing import Any

from cluster.worlds.machines.forward import Forward

# Streams wait for the cluster, not for this process: as many as a gateway takes at once
# (GatewaySettings.max_inflight). Serve's own default is 5.
MAX_ONGOING_REQUESTS = 1024
# It passes bytes on. A whole core would keep one from the nodes of the cluster.
NUM_CPUS = 0.1


async def gateway(scenario: str) -> str:
    """The URL of its gateway; the cluster is raised first where it does not stand. Raises as
    `serve_in_cluster` does.
    """
    from cluster.worlds.machines.up import serve_in_cluster

    return await asyncio.to_thread(serve_in_cluster, scenario)


def app(args: dict[str, str]) -> Any:
    """The Serve application; `args` may name the `scenario`, a file or a shipped one ("demo").

    Raises ValueError on any other argument, ModuleNotFoundError without `ray[serve]`.
    """
    unknown = sorted(args.keys() - {"scenario"})
    if unknown:
        raise ValueError(f"args has {', '.join(unknown)}: all there is to say is `scenario`")
    from ray import serve

    forward = Forward(partial(gateway, args.get("scenario", "demo")))
    deployment: Any = serve.deployment(
        name="gateway",
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        ray_actor_options={"num_cpus": NUM_CPUS},
    )(serve.ingress(forward)())
    return deployment.bind()
