"""Lets the next incarnations of nodes that are gone stand: those of a machine all at once, and who
fails to stand again and again alone and ever more seldom, so that the others' turn comes.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from cluster.worlds.machines.answers import answer
from cluster.worlds.machines.fleet import Fleet, Lenient
from cluster.worlds.raising import raise_again
from workers.errors import PeerDead
from workers.wire.membership import Member

log = logging.getLogger(__name__)

# How long a machine may take to say that it is there; others to be told, a new node to be asked.
BACK_S, TELL_S, ANSWER_S = 3.0, 5.0, 5.0
# Between two tries of a node that did not stand: what it needs may be gone for a while, or for
# ever. Each failure doubles it.
RETRY_S, RETRY_MAX_S = 1.0, 60.0


class Returning:
    """pids   node -> process of its last incarnation, where somebody knows it"""

    def __init__(self, fleet: Fleet, pids: dict[str, int]) -> None:
        self.pids = pids
        self._fleet = fleet
        self._num_failures: Counter[str] = Counter()
        self._not_before_s: dict[str, float] = {}

    def is_due(self, node: str) -> bool:
        """Whether it is time for another try."""
        return _now_s() >= self._not_before_s.get(node, 0.0)

    def forget(self, node: str) -> None:
        """It stands, or is no node any more."""
        self._num_failures.pop(node, None)
        self._not_before_s.pop(node, None)

    def together(self, nodes: Sequence[str]) -> list[list[str]]:
        """Who is tried with whom: one that has failed may fail again, and would fail the others."""
        fresh = [node for node in nodes if not self._num_failures[node]]
        return [*([fresh] if fresh else []), *([node] for node in nodes if node not in fresh)]

    async def ended(self, nodes: Sequence[str], gone: dict[str, str]) -> list[str]:
        """Those of whose last incarnation nothing runs any more; `gone` has why not."""
        are = await asyncio.gather(*(self._is_ended(node, gone) for node in nodes))
        return [node for node, is_ended in zip(nodes, are, strict=True) if is_ended]

    async def _is_ended(self, node: str, gone: dict[str, str]) -> bool:
        with suppress(Exception):
            self._fleet.kill(node)
        machines, where = self._fleet.machines, self._fleet.where[node]
        handle = machines.handle(where)
        if handle is None:
            return True
        try:
            ended = handle.end_process.remote(self.pids.get(node))
            await answer(ended, machines.name_of(where), BACK_S)
        except TimeoutError:
            gone[node] = f"{machines.name_of(where)} does not answer"
            return False
        except PeerDead:
            machines.forget(where)
        except Exception as error:  # the others' turn comes all the same
            gone[node] = f"its last process could not be ended: {error}"
            return False
        return True

    async def stand(
        self, nodes: Sequence[str], living: Sequence[Member], gone: dict[str, str]
    ) -> list[Member]:
        """They meet those who live, and each other; none of them if one fails, and `gone` has
        why.
        """
        fleet = self._fleet
        others = Lenient(fleet, TELL_S)  # who does not answer is minded on its own
        try:
            epochs = {node: fleet.epochs[node] + 1 for node in nodes}
            for node in nodes:
                self.pids.pop(node, None)  # the next one may stand on another machine
            members = await raise_again(fleet, living, epochs, others)
            for node in nodes:
                self.pids[node] = await fleet.ask(node, "pid", timeout_s=ANSWER_S)
        except Exception as error:  # whatever it was: it is told, and tried again
            log.exception("%s could not be brought back", ", ".join(nodes))
            for node in nodes:
                gone[node] = f"its next incarnation did not stand: {error}"
                self._failed(node)
                # Some have met it.
                await others.ask_each([m.node for m in living], "part", node, gone[node])
            return []
        for node in nodes:
            self.forget(node)
        return [member for member in members if member.node in nodes]

    def _failed(self, node: str) -> None:
        with suppress(Exception):
            self._fleet.kill(node)
        self._num_failures[node] += 1
        pause_s = min(RETRY_S * 2 ** (self._num_failures[node] - 1), RETRY_MAX_S)
        self._not_before_s[node] = _now_s() + pause_s


def _now_s() -> float:
    return asyncio.get_running_loop().time()
