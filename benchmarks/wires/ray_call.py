"""A Ray actor that gives back what it is given, beside the wires."""

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil


@asynccontextmanager
async def by_ray(frame: bytes) -> Any:
    """Yields the call and the actor's process."""
    from cluster.worlds.ray_session import end_ray, ray, start_ray

    class Echo:
        def back(self, frame: bytes) -> bytes:
            return frame

        def pid(self) -> int:
            return psutil.Process().pid

    with tempfile.TemporaryDirectory(prefix="perfuse-") as folder:
        start_ray(Path(folder))
        try:
            actor: Any = ray.remote(Echo).options(num_cpus=0).remote()

            pid: Any = ray.get(actor.pid.remote())

            async def call() -> None:
                ray.get(actor.back.remote(frame))

            yield call, psutil.Process(pid)
        finally:
            end_ray(Path(folder))
