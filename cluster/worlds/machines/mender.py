"""Notices that a node is gone, tells the others, and lets its next incarnation join.

Two ways to be gone. A process that has ended says so at once. A machine that is cut off says
nothing: a node that has not answered for SILENT_S is given up, and whatever its old incarnation
says later is nobody's any more. When its machine answers again the old process is ended there
before the new one starts.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from cluster.worlds.machines.fleet import Fleet
from cluster.worlds.machines.returning import Returning
from workers.wire.membership import Member

log = logging.getLogger(__name__)

BEAT_EVERY_S, SILENT_S = 1.0, 5.0
# So often in a row one may lack another before that counts: it may be about to meet it.
LACKED_BEATS = 3
# How long the living may take to hear that one is gone.
TELL_S = 5.0
# A machine that is cut off is asked so often whether it is back.
LOOK_EVERY_S = 1.0


class Mender:
    """members    those who live
    restarts   how often each node may be started again
    on_back    told of a node whose next incarnation has joined, before anything else is mended, and
               whether its disk is another than the last one's
    """

    def __init__(
        self,
        fleet: Fleet,
        members: list[Member],
        pids: dict[str, int],
        restarts: int,
        on_back: Callable[[str, bool], Any],
    ) -> None:
        self.members = members
        self.gone: dict[str, str] = {}  # node -> why, of those who do not live
        self._fleet, self._restarts, self._on_back = fleet, restarts, on_back
        self._returning = Returning(fleet, pids)
        self._disks = dict(fleet.disks)  # of incarnations that stood
        self._num_restarts: Counter[str] = Counter()
        self._wanted = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.lock = asyncio.Lock()  # held by whoever lets nodes join, or takes some away

    def begin(self) -> None:
        """Watch every member, and mend."""
        for member in self.members:
            self._start(self._mind(member))
        self._start(self._mend())

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()

    def num_restarts(self, node: str) -> int:
        return self._num_restarts[node]

    def pid(self, node: str) -> int | None:
        """Of its last incarnation, where somebody knows it."""
        return self._returning.pids.get(node)

    def _start(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _mind(self, member: Member) -> None:
        """Until it is gone."""
        lacked: Counter[Member] = Counter()
        while member in self.members:
            try:
                known = await self._fleet.ask(member.node, "knows", timeout_s=SILENT_S)
            except Exception as error:  # whatever it is: who cannot be asked is no use to anybody
                if member in self.members:
                    await self.lose(member.node, str(error))
                return
            await self._compare(member, known, lacked)
            await asyncio.sleep(BEAT_EVERY_S)

    async def _compare(
        self, member: Member, known: Mapping[str, int], lacked: Counter[Member]
    ) -> None:
        """A wire that broke between two who live is not made again: of such a pair one goes, and
        comes back as another whom all meet.
        """
        for other in list(self.members):
            if known.get(other.node, 0) >= other.epoch:
                lacked.pop(other, None)
                continue
            lacked[other] += 1
            if lacked[other] >= LACKED_BEATS and member in self.members:
                await self.lose(other.node, f"its link with {member.node} broke")

    def returns(self, node: str) -> bool:
        """Whether it lives, or may come back by itself."""
        return node not in self.gone or self._num_restarts[node] < self._restarts

    async def take_in(self, new: Sequence[Member]) -> None:
        """These have joined: they are minded from now on."""
        for member in new:
            self._returning.pids[member.node] = await self._fleet.ask(
                member.node, "pid", timeout_s=SILENT_S
            )
        self.members = [*self.members, *new]
        for member in new:
            self._disks[member.node] = self._fleet.disks[member.node]
            self._start(self._mind(member))

    def dismiss(self, nodes: Sequence[str]) -> None:
        """These are to go: nobody brings them back."""
        self.members = [member for member in self.members if member.node not in nodes]
        for node in nodes:
            self.gone.pop(node, None)
            self._returning.pids.pop(node, None)
            self._num_restarts.pop(node, None)
            self._returning.forget(node)
            self._disks.pop(node, None)

    async def lose(self, node: str, why: str) -> None:
        """It is gone: all others hear of it, so that nobody waits for it."""
        if node in self.gone or all(member.node != node for member in self.members):
            return
        self.gone[node] = why
        self.members = [member for member in self.members if member.node != node]
        await self._tell("part", node, why)
        self._wanted.set()

    async def _tell(self, question: str, *arguments: Any) -> None:
        """Those who live; one that does not answer is minded on its own."""
        told = [
            self._fleet.ask(member.node, question, *arguments, timeout_s=TELL_S)
            for member in self.members
        ]
        await asyncio.gather(*told, return_exceptions=True)

    async def _mend(self) -> None:
        while True:
            with suppress(TimeoutError):
                waits = None if not self._may_return() else LOOK_EVERY_S
                await asyncio.wait_for(self._wanted.wait(), waits)
            self._wanted.clear()
            due = [node for node in self._may_return() if self._returning.is_due(node)]
            try:
                await self._bring_back(due)
            except Exception:  # whatever it is: the next look may find it gone
                log.exception("%s could not be brought back", ", ".join(due))

    def _may_return(self) -> list[str]:
        return [node for node in self.gone if self._num_restarts[node] < self._restarts]

    async def bring_back(self, node: str) -> bool:
        """Let the next incarnation of a node that is gone join, whatever the scenario allows;
        whether it did, or is no node any more.
        """
        await self._bring_back([node])
        return node not in self.gone

    async def _bring_back(self, nodes: Sequence[str]) -> None:
        async with self.lock:
            asked = [node for node in nodes if node in self.gone]
            if not asked:
                return
            ended = await self._returning.ended(asked, self.gone)
            for machine in self._fleet.machines.without_hand():
                await self._lose_all_on(machine)
            for group in self._returning.together(ended):
                new = await self._returning.stand(group, self.members, self.gone)
                # At once: whoever is lost from now on, these hear of it as all others do.
                self.members = [*self.members, *new]
                for member in new:
                    await self._is_back(member)

    async def _lose_all_on(self, machine: str) -> None:
        """The cluster's hand on a machine is gone, and the folder that it kept for the nodes there
        goes when the next one is made.
        """
        for node in [m.node for m in self.members if self._fleet.where[m.node] == machine]:
            with suppress(Exception):
                self._fleet.kill(node)
            await self.lose(node, f"the cluster's actor on {machine[:12]} is gone")

    async def _is_back(self, member: Member) -> None:
        node = member.node
        self._num_restarts[node] += 1
        try:
            # Who was lost before it was a member does not live, and it has met that one.
            for other, why in list(self.gone.items()):
                if other != node and all(m.node != other for m in self.members):
                    await self._fleet.ask(node, "part", other, why, timeout_s=TELL_S)
            disk = self._fleet.disks[node]
            await self._on_back(node, disk != self._disks.get(node))
            self._disks[node] = disk
        except Exception:  # it stands all the same; if it fell, whoever minds it notices
            log.exception("%s is back, and what follows failed", node)
        self.gone.pop(node, None)
        self._start(self._mind(member))
