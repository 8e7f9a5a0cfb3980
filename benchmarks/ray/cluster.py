"""A cluster on the hosts, for the time of one measurement."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.ray.ray_hosts import Asked, RayHosts

UP_S, DOWN_S = 300.0, 200.0
FREE: Mapping[str, Any] = {"cluster.emulation": False, "cluster.dilation": 1}


@contextmanager
def cluster(
    ray: RayHosts, name: str, changes: Mapping[str, Any], scenario: str = "demo"
) -> Iterator[Asked]:
    """A scenario's, with these keys changed. Raises RuntimeError with what a command said."""
    words = [word for key, value in changes.items() for word in ("--set", f"{key}={_yaml(value)}")]
    _done(ray.perfuse("up", scenario, "--name", name, *words, timeout_s=UP_S))
    try:
        with ray.attached(name) as asked:
            yield asked
    finally:
        _done(ray.perfuse("down", name, timeout_s=DOWN_S))


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _done(told: Any) -> None:
    if told.returncode:
        raise RuntimeError(f"{told.args[-6:]}: {told.stdout}{told.stderr}")
