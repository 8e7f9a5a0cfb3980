"""A node in a process of its own: a plain object, made a Ray actor. Ray starts and stops it; no
token travels by Ray.

This file and `cluster/worlds` alone import ray.
"""

import logging
from collections.abc import Callable
from typing import Any, Protocol

import ray

from kernels import native


class Seated(Protocol):
    """What an actor holds: it answers its driver's questions."""

    async def ask(self, question: str, *arguments: Any) -> Any: ...


# Makes it, inside the process and its event loop.
Make = Callable[[], Seated]


class Process:
    """The one node of this process, made when it is first asked anything."""

    def __init__(self, make: Make) -> None:
        # A frame that cannot be delivered is the peer's death, which the wire reports itself.
        logging.getLogger("grpc").setLevel(logging.ERROR)
        # One of many processes: more threads would compete where a paced run must not be late.
        native.set_num_threads(1)
        self._make = make
        self._seated: Seated | None = None

    async def ask(self, question: str, *arguments: Any) -> Any:
        """One of the node's own questions; PerfuseError travels back as it is."""
        if self._seated is None:
            self._seated = self._make()  # here, because a clock needs the running event loop
        return await self._seated.ask(question, *arguments)

    async def end(self, question: str) -> None:
        """One of the questions that end a node; nothing where it never stood."""
        if self._seated is not None:
            await self._seated.ask(question)


def start_process(name: str, make: Make, **options: Any) -> Any:
    """Start a process for a node as a Ray actor; returns its handle. It reserves no cores: emulated
    ones are not Ray's.

    options   more of Ray's, for an actor: where it is to stand, and how long
    """
    actor_class = ray.remote(Process)
    return actor_class.options(name=name, num_cpus=0, max_restarts=0, **options).remote(make)
