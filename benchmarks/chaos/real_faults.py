"""What is done to the processes of a local world, one node at a time: kill -9, SIGSTOP, a cut.

A node that was killed is brought back here, by whoever drives the cluster, unless it came back by
itself. One that stands still goes on after a while; a cut is a partition that is taken away again.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import httpx

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.local import LocalWorld

EVERY_S = 5.0
# How long one stands still, or is cut off: shorter and longer than what notices it.
LASTS_S = (0.3, 1.0, 3.0)
KINDS = ("kill -9", "SIGSTOP", "cut")


class RealFaults:
    """struck    kind and role -> how often       away_s   of each node that was killed
    told       of each as it strikes
    """

    def __init__(self, world: LocalWorld, port: int, seed: int, told: Callable[[str], None]):
        self._world, self._port, self._told = world, port, told
        self._random = random.Random(seed)
        self.struck: Counter[str] = Counter()
        self.away_s: list[float] = []
        self._nodes = [node.name for node in world.blueprint.plan.nodes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def strike(self) -> None:
        """Once, and undo it: when this returns every node lives."""
        kind, node = self._random.choice(KINDS), self._random.choice(self._nodes)
        lasts_s = self._random.choice(LASTS_S)
        if kind == "cut" and node == self._world.gateway:
            kind = "SIGSTOP"  # cuts are asked for over HTTP, where it listens
        self._told(f"{kind} {node}")
        self.struck[f"{kind} {node.rstrip('0123456789').rstrip('-')}"] += 1
        if kind == "kill -9":
            self._kill(node)
        elif kind == "SIGSTOP":
            self._stop(node, lasts_s)
        else:
            self._cut(node, lasts_s)

    def _kill(self, node: str) -> None:
        begun_s = time.monotonic()
        self._world.kill(node)
        if not self._lives(node):
            self._world.revive(node)
        if node == self._world.gateway:
            self._world.ask_gateway("serve_http", "127.0.0.1", self._port, GatewaySettings())
        self.away_s.append(time.monotonic() - begun_s)

    def _lives(self, node: str) -> bool:
        return any(member.node == node for member in self._world.members)

    def _stop(self, node: str, lasts_s: float) -> None:
        pid = self._world.ask(node, "pid")
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(lasts_s)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _cut(self, node: str, lasts_s: float) -> None:
        """All that goes to it and comes from it is lost."""
        body = {"type": "partition", "source": node, "name": "cut", "direction": "both"}
        with httpx.Client(timeout=30) as http:
            http.post(f"{self.url}/admin/faults", json=body).raise_for_status()
            time.sleep(lasts_s)
            http.delete(f"{self.url}/admin/faults/cut").raise_for_status()
