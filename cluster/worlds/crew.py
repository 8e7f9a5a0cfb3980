"""The workers of one node: built from the plan, started, and asked how they are. The same in every
world.

What a role needs is imported only where that role stands, so that a router never loads a model.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from cluster.faults.control import FaultControl, FollowedFaults
from cluster.faults.standing import StandingFaults
from cluster.gateway.router_client import MessageRouterClient
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.experts import patience_of, stand_shard
from cluster.worlds.models import NodeModels
from configs.plan import ChipPlan, MemoryPlan, NodePlan, RankPlan, ShardPlan, WorkerPlan
from configs.schema.faults import link_faults
from workers.errors import NotFound
from workers.kv.page_errors import damage
from workers.node import Node

if TYPE_CHECKING:
    from cluster.router.router import Router
    from cluster.worlds.folding import ClusterFold
    from workers.chip.chip import Chip
    from workers.experts.expert_shard import ExpertShard
    from workers.flash.wear import Wear
    from workers.fold.shards import FoldedShard
    from workers.memory.memory_server import MemoryServer
    from workers.parallel.rank import Rank

ROUTER = "router"
# To read a collection, or to make one of a folder of text: an event loop does not wait for it.
COLLECTION_SIZE = 1 << 30


class Crew:
    """Builds and starts every worker of `plan` on `node`.

    client   the way to the router, where a gateway stands
    faults   those of all links, changed from there
    standing   those of this node's
    fold     what computes steps of the node's workers, if anything does
    """

    def __init__(
        self, blueprint: Blueprint, plan: NodePlan, node: Node, fold: "ClusterFold | None" = None
    ) -> None:
        self.blueprint, self.plan, self.node, self._fold = blueprint, plan, node, fold
        self.client: MessageRouterClient | None = None
        self._models = NodeModels(blueprint, plan)
        self._router: Router | None = None
        self._chips: list[Chip] = []
        self._ranks: list[Rank] = []
        self._server: MemoryServer | None = None
        self._shards: list[ExpertShard | FoldedShard] = []
        scenario, directory = blueprint.scenario, node.members.directory
        standing = self.standing = StandingFaults(node.endpoint, directory, node.rng)
        standing.become(link_faults(scenario.faults))
        self.faults: FaultControl | None = None
        if any(worker.role == "gateway" for worker in plan.workers):
            self.faults = FaultControl(node, scenario, directory, standing)
        else:
            FollowedFaults(node, standing)
        for worker in plan.workers:
            self._build(worker)

    def _build(self, worker: WorkerPlan) -> None:
        if isinstance(worker, ChipPlan):
            from cluster.worlds.chips import stand_chip

            here = self.node, self.blueprint, worker, self._models
            self._chips.append(stand_chip(*here, ROUTER, self._fold))
        elif isinstance(worker, RankPlan):
            from cluster.worlds.chips import stand_rank

            self._ranks.append(stand_rank(self.node, self.blueprint, worker, self._models))
        elif isinstance(worker, ShardPlan):
            if not self._models.whole:
                shard = stand_shard(self.node, self.blueprint, worker, self._models, self._fold)
                self._shards += [] if shard is None else [shard]
        elif isinstance(worker, MemoryPlan):
            self._build_memory(worker)
        elif worker.role == "switch":
            from cluster.worlds.switches import stand_switch

            stand_switch(self.node, self.blueprint, worker)
        elif worker.role == "router":
            from cluster.worlds.routers import stand_router

            self._router = stand_router(self.node, self.blueprint, worker)
        else:
            self.client = MessageRouterClient(
                self.node,
                worker.name,
                router=ROUTER,
                deadline_ns=self.blueprint.deadline_ns,
                timeout_ns=self.blueprint.timeout_ns,
                router_returns=self.blueprint.scenario.cluster.keeps_journal,
                dilation=self.blueprint.scenario.cluster.dilation,
                silence_ns=patience_of(self.blueprint).silence_ns,
            )

    def _build_memory(self, worker: MemoryPlan) -> None:
        from cluster.worlds.near import build_near
        from workers.memory.memory_server import MemoryServer

        self._server = MemoryServer(
            self.node,
            worker.name,
            tier=worker.collection_tier,
            engine=worker.engine,
            pool_tier=worker.pool_tier,
            pool_bytes=worker.pool_bytes,
        )
        build_near(self.blueprint, self.node, worker)

    @property
    def gateway(self) -> MessageRouterClient:
        """The way to the router; asked of the gateway's node alone."""
        assert self.client is not None, f"no gateway stands on {self.plan.name}"
        return self.client

    @property
    def router(self) -> "Router":
        """Asked of the router's node alone."""
        assert self._router is not None, f"no router stands on {self.plan.name}"
        return self._router

    def become(self, blueprint: Blueprint) -> None:
        """The cluster is as this says from now on; this node is as it was."""
        if self.faults is not None:
            self.faults.become(blueprint.scenario)
        if self._router is not None:
            from cluster.router.chips_of import chips_of

            self._router.number_of_chips.become(chips_of(blueprint.plan, self.node.members))

    def chips_hold(self) -> dict[str, int]:
        """What the node's chips and ranks hold for requests, and calls that it has open."""
        held = Counter({"calls": self.node.endpoint.outgoing.in_flight()})
        for chip in self._chips:
            held.update(chip.held())
        for rank in self._ranks:
            held.update(rank.held())
        return dict(held)

    @property
    def counts(self) -> dict[str, int]:
        """What the node's workers have counted so far: sequences preempted, and what came of KV
        offload and expert prefetch (`figures` of both), and the tokens of each copy of an expert.
        """
        counts: Counter[str] = Counter()
        for chip in self._chips:
            counts.update(chip.counts)
        for shard in self._shards:
            counts.update(shard.counts)
        return dict(counts)

    def flash_wear(self) -> "dict[str, Wear]":
        """Tier -> how worn the file behind it is; of tiers that have one."""
        return {} if self._server is None else self._server.flash_wear()

    def withhold(self, share: float) -> None:
        """This share of the node's room for KV is a neighbour's from now on."""
        from workers.chip.neighbour import take

        for chip in self._chips:
            take(chip, share)
        if self._server is not None:
            self._server.pool.withhold(share)

    def wear_out(self, share: float, draw: float) -> int:
        """See `workers.memory.wearing`; 0 where the node has no flash."""
        from workers.memory.wearing import wear_out

        return 0 if self._server is None else wear_out(self._server.pool, share, draw)

    def damage(self, share: float) -> str:
        """A memory error in the node's KV pool; see `workers.kv.page_errors`."""
        return "" if self._server is None else damage(self._server.pool, share)

    def begin(self) -> None:
        """When the node is known to all others: what an earlier incarnation left goes on."""
        from cluster.router.control import Control

        if self.faults is not None:
            self.faults.begin()
        if self._router is not None:
            self._router.begin()
            shards = list(dict.fromkeys(chain.from_iterable(self.blueprint.plan.experts.values())))
            Control(self.node, self._router.port, self._router, shards, self.blueprint.plan.spares)

    def _check_room(self, vector_bytes: Mapping[str, int]) -> None:
        """Raises ValueError where a memory server's tier is too small."""
        from configs.plan.collections import collection_problems

        share = self.blueprint.scenario.model.gpu_memory_utilization
        if problems := collection_problems(self.blueprint.plan, share, vector_bytes):
            raise ValueError("; ".join(problems))

    async def preload(self, again: bool = False) -> None:
        """On the router's node: see `Preloading.bring`, and `bring_again`. Raises CollectionError
        naming the key of one that cannot be read, not be cut into as many lists, or does not fit.
        """
        from cluster.retrieval.collection import CollectionError, open_collection
        from cluster.retrieval.spread import counts
        from configs.presets import corpus_folder
        from workers.memory.index.choice import IndexChoice

        preloading, stores = self.router.preloading, self.router.stores
        problems, num_bytes = [], Counter[str]()
        for name, placed in self.blueprint.scenario.placement.collections.items():
            embedder = stores.embedder(placed.embedder)
            reading = partial(open_collection, corpus_folder(placed.path), embedder)
            sizes = (placed.nlist, placed.nprobe, placed.m, placed.rerank)
            index = IndexChoice(placed.index, *(size or 0 for size in sizes))
            try:
                collection = await self.node.hardware.beside(COLLECTION_SIZE, reading)
                rows = counts(len(collection.passages), len(stores.servers))
                index.check_rows(min(rows))
                each = collection.vectors[:1].nbytes
                num_bytes += Counter(
                    {s: n * each for s, n in zip(stores.servers, rows, strict=True)}
                )
                self._check_room(num_bytes)
            except ValueError as error:
                raise CollectionError(f"placement.collections.{name}: {error}") from error
            bring = preloading.bring_again if again else preloading.bring
            try:
                await bring(name, collection, index)
            except NotFound as error:  # the others' turn comes all the same
                problems.append(error.message)
        if problems:
            raise NotFound("; ".join(problems))
