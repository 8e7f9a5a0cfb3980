"""A machine, and all that a worker may know of the world.

One or several workers stand on a node and share its hardware, its endpoint and its fate: when it
crashes, all their tasks are cancelled.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any

from configs.schema.device import DeviceSpec
from configs.schema.link import LinkSpec
from workers.experts.answers import Answers
from workers.experts.combine import CombineSide
from workers.experts.exchange import DispatchSide
from workers.experts.near import NearCombine, NearDispatch
from workers.experts.patience import ENDLESS, Patience
from workers.experts.ranks import RankedNodes, Ranks
from workers.experts.stand_ins import StandIns
from workers.experts.switched import BySwitch, SwitchedDispatch
from workers.experts.tokens import Tokens
from workers.hardware.energy.meter import Reading
from workers.hardware.hardware import Hardware
from workers.hardware.usage import Usage, usage_of
from workers.host.aside import Aside
from workers.host.clock.base import Clock
from workers.host.disk import Disk
from workers.host.longest import Longest
from workers.host.mailbox import Mailbox
from workers.host.rng import Rng
from workers.host.trace import Trace
from workers.model.numerics import Numerics
from workers.wire.endpoint import Endpoint
from workers.wire.fabric.fabric import Fabric
from workers.wire.mail import Mail
from workers.wire.membership import Member, Membership
from workers.wire.port import Port

OnFailure = Callable[[str, BaseException], None]
OnRouted = Callable[[Tokens], None]


class Node:
    """Clock, tasks, endpoint, hardware, disk, randomness and trace of one machine.

    members     which incarnation of each node lives; others than this one join later
    numerics    of the model: how its rows travel, what they cost, and how sums of them merge
    ranked      those whose experts' tokens cross shared memory; None: they go as messages
    fabric      what lies between the nodes' own links; None: nothing
    slow        how many times as long its launches take
    on_failure  told of an error nobody waited for, which most often ended a task; a bug, not a
                request's fault
    on_routed   told of every layer's tokens and the experts they chose; None: nobody is
    """

    on_routed: OnRouted | None = None

    def __init__(
        self,
        name: str,
        *,
        epoch: int,
        clock: Clock,
        device: DeviceSpec,
        link: LinkSpec,
        mail: Mail,
        members: Membership,
        disk: Disk,
        rng: Rng,
        trace: Trace,
        on_failure: OnFailure,
        numerics: Numerics,
        compute_thread: Executor | None = None,
        aside: Aside | None = None,
        ranked: RankedNodes | None = None,
        fabric: Fabric | None = None,
        slow: float = 1.0,
    ) -> None:
        self.name, self.epoch, self.members = name, epoch, members
        self.clock, self.disk, self.rng, self.trace = clock, disk, rng, trace
        self._on_failure, self.numerics = on_failure, numerics
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        self._num_tasks, self._begin_ns = 0, clock.wall_now()
        self.queues: dict[str, Longest] = {}
        self.hardware = Hardware(name, device, clock, trace, compute_thread, aside, rng, slow)
        self.endpoint = Endpoint(
            name, epoch, clock, link, self.hardware, trace, mail, members, self.spawn, self.failed,
            numerics, fabric,
        )  # fmt: skip
        # Where others compute for it (`workers.fold`), they tell it what they did.
        self.before_reading: Callable[[], None] = lambda: None
        self.ranks: Ranks | None = None
        if ranked is not None and name in ranked.nodes:
            self.ranks = Ranks.made(ranked, name, epoch, clock, self.failed)
        if self.ranks is not None:
            self.ranks.follow(members)
        members.join(Member(name, epoch, link))

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Start a task of this node. Its emulated time begins at the caller's."""
        task = self.clock.start(coroutine, f"{self.name}/{name}")
        self._num_tasks += 1
        key = self._num_tasks
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))
        return task

    def _ended(self, key: int, task: "asyncio.Task[Any]") -> None:
        self._tasks.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(task.get_name(), error)

    def failed(self, what: str, error: BaseException) -> None:
        """Tell of an error nobody expected, after which its worker goes on."""
        self._on_failure(f"{self.name}/{what}", error)

    def num_tasks(self) -> int:
        return len(self._tasks)

    def busy_ns(self) -> dict[str, int]:
        """How long each of its resources has worked until now, both ways of its link among them."""
        self.before_reading()
        now_ns = self.clock.now()
        busy = {name: known.busy_ns(now_ns) for name, known in self.hardware.resources.items()}
        return busy | self._links_busy_ns(now_ns)

    def _links_busy_ns(self, now_ns: int) -> dict[str, int]:
        busy, endpoint = dict[str, int](), self.endpoint
        for way, side in (("out", endpoint.egress), ("in", endpoint.ingress)):
            busy[f"link.{way}"] = side.busy_ns(now_ns)
            for rule, narrowed_ns in side.narrow.busy_ns(now_ns).items():
                busy[f"link.{way}.{rule}"] = narrowed_ns
        return busy

    def usage(self) -> Usage:
        """What its resources did since it stands, both ways of its link among them."""
        self.before_reading()
        now_ns, hardware = self.clock.wall_now(), self.hardware
        links_busy_ns = self._links_busy_ns(now_ns)
        return usage_of(hardware.spec, hardware.resources, self._begin_ns, now_ns, links_busy_ns)

    def read_energy(self) -> Reading | None:
        """What it drew since `restart_energy`, or since it stands; None where nothing is emulated.
        A link's energy is its sender's.
        """
        self.before_reading()
        if not self.clock.emulated:
            return None
        accounts = {"machine": self.hardware.joules, "link": self.endpoint.egress.joules}
        return self.hardware.meter.read(self.clock.wall_now(), accounts)

    def restart_energy(self) -> None:
        self.before_reading()
        self.hardware.joules = self.endpoint.egress.joules = 0.0
        self.hardware.meter.restart(self.clock.wall_now())

    def port(self, worker: str) -> Port:
        """The endpoint as one worker of this node sees it."""
        stands_on = self.members.node_of(worker)
        assert stands_on == self.name, f"{worker} does not stand on {self.name}"
        return Port(self.endpoint, worker)

    def dispatch_side(
        self,
        worker: str,
        by: BySwitch | None = None,
        stand_ins: StandIns | None = None,
        patience: Patience = ENDLESS,
    ) -> DispatchSide:
        """The exchange as a chip of this node has it: rows out, sums in. `by`: what a switch does
        of it; None: nothing. `stand_ins`: for shards; None: there are none. `patience`: with
        shards that have a spare or copies.
        """
        port, stand_ins = self.port(worker), stand_ins or StandIns(self.members)
        answers = Answers(port, self.clock, self.spawn, stand_ins, patience)
        parts = port, self.clock, self.numerics, stand_ins, answers
        if by is not None:
            return SwitchedDispatch(*parts, by)
        if self.ranks is not None:
            return NearDispatch(*parts, self.ranks)
        return DispatchSide(*parts)

    def combine_side(self, worker: str) -> CombineSide:
        """The exchange as an expert shard of this node has it: rows in, sums out."""
        port, waiting = self.port(worker), self.mailbox(queue=f"dispatches of {worker}")
        if self.ranks is not None:
            return NearCombine(port, waiting, self.numerics, self.clock, self.ranks)
        return CombineSide(port, waiting, self.numerics, self.clock)

    def mailbox(self, capacity: int | None = None, *, queue: str = "") -> Mailbox[Any]:
        """A queue between tasks of this node that keeps emulated time.

        queue   under which name reports tell how long it ever was; mailboxes may share one
        """
        longest = self.queues.setdefault(queue, Longest()) if queue else None
        return Mailbox(self.clock, capacity, longest)

    async def crash(self) -> None:
        """Cancel every task and wait until all are gone."""
        self.endpoint.close()
        # A task may start others while it is being cancelled: until none is left.
        while self._tasks:
            key, task = next(iter(self._tasks.items()))
            task.cancel()
            try:
                await task
            except (asyncio.CancelledError, Exception):
                continue  # its end is what was wanted; a failure was reported by `_ended`
            finally:
                self._tasks.pop(key, None)
        if self.ranks is not None:
            self.ranks.close()
