"""What a plan says: machines, who works on each, and what lies in its memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import gcd

from configs.block_form import BlockForm
from configs.engines import engine_notes
from configs.fitting import Fill
from configs.offload import OffloadPlan
from configs.parts import Part, Ranks
from configs.plan.folded import FoldPlan
from configs.plan.sites import PlanRole
from configs.schema import DeviceSpec, LinkSpec
from configs.schema.device import MAIN_ENGINE
from configs.sliding import Sliding


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One worker; router and gateway need no more than this."""

    name: str
    role: PlanRole
    node: str


@dataclass(frozen=True, slots=True)
class PartPlan(WorkerPlan):
    """What a chip, or a rank of one, holds: layers without experts in `tier`, embedding and
    vocabulary projection in `embeddings_tier`, KV in `kv_tier`.

    weights_bytes      of layers, embedding and projection
    form               of its KV blocks
    sliding, num_block_ids   where some layers have a window: what that gives back, and how many
                       blocks may be there at once in the room of `num_kv_blocks` whole ones
    """

    tier: str
    embeddings_tier: str
    kv_tier: str
    activations_tier: str
    weights_bytes: int
    num_kv_blocks: int
    kv_bytes: int
    form: BlockForm
    sliding: Sliding | None
    num_block_ids: int


@dataclass(frozen=True, slots=True)
class ChipPlan(PartPlan):
    """A prefill chip, a decode chip, or one that does both (role `chip`).

    watermark_blocks   KV blocks that stay free when somebody is admitted beside others; None where
                       whole requests are reserved (`placement.reserve`)
    offload            where evicted blocks go; None: nowhere
    gives_away         KV that has grown cold leaves for memory servers (`placement.kv_near`)
    """

    watermark_blocks: int | None
    offload: OffloadPlan | None
    gives_away: bool = False


@dataclass(frozen=True, slots=True)
class RankPlan(PartPlan):
    """A rank of a chip that does not lead; the chip's own plan is its leader's.

    chip   the leader        number   of this rank in `Plan.ranks[chip]`
    """

    chip: str
    number: int


@dataclass(frozen=True, slots=True)
class ShardPlan(WorkerPlan):
    """An expert shard, or one that stands by for others (role "spare"): the same `expert_ids`
    (ascending) of every layer, kept in `tier`; `hot_ids` of them in `hot_tier`. `engine` computes
    them, `hot_engine` the hot ones.

    prefetch_bytes   tier -> what is read ahead of it at most; empty where nothing is
    """

    tier: str
    engine: str
    weights_bytes: int
    expert_ids: tuple[int, ...]
    hot_tier: str
    hot_ids: tuple[int, ...]
    hot_engine: str
    prefetch_bytes: Mapping[str, int]

    @property
    def tier_by_expert(self) -> dict[int, str]:
        """Of every expert that it holds."""
        hot = frozenset(self.hot_ids)
        return {e: self.hot_tier if e in hot else self.tier for e in self.expert_ids}


@dataclass(frozen=True, slots=True)
class MemoryPlan(WorkerPlan):
    """A memory server. It is number `index` of `num_servers`, over which each collection is spread.

    collections   store names               collection_tier   where their vectors are
    engine        that searches them
    pool_tier     where pooled KV is        pool_bytes        at most; 0 where there is no pool
    near_blocks   of running sequences, there as well; 0 where `placement.kv_near` is left out
    near_engine   whose arithmetic attends to them
    """

    index: int
    num_servers: int
    collections: tuple[str, ...]
    collection_tier: str
    engine: str
    pool_tier: str
    pool_bytes: int
    near_blocks: int
    near_engine: str


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One machine with its workers, in the order of their roles in the scenario.

    fills   tier -> what lies in it (collections are not counted: their size shows when they are
            loaded)
    slow    how many times as long its launches take
    """

    name: str
    group: str
    device: DeviceSpec
    link: LinkSpec
    workers: tuple[WorkerPlan, ...]
    fills: Mapping[str, tuple[Fill, ...]]
    slow: float = 1.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What may surprise, and is no problem: with the numbers."""
        return (*engine_notes(self.device), *self._beside_nothing())

    def _beside_nothing(self) -> Iterator[str]:
        for worker in self.workers:
            for name, engine in self.device.engines.items():
                if engine.beside in _left_to_the_main_engine(worker):
                    yield (
                        f"engine {name} beside {engine.beside} does nothing for workers: "
                        f"[{worker.role}]: it computes in {', '.join(engine.compute)} and they in "
                        "another dtype, or placement.engines is main"
                    )


def _left_to_the_main_engine(worker: WorkerPlan) -> set[str]:
    """Tiers whose data it works on."""
    if isinstance(worker, MemoryPlan):
        engines = [(worker.collection_tier, worker.engine)]
    elif isinstance(worker, ShardPlan):
        engines = [(worker.tier, worker.engine)]
        engines += [(worker.hot_tier, worker.hot_engine)] if worker.hot_ids else []
    else:
        return set()
    return {tier for tier, engine in engines if engine == MAIN_ENGINE}


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole cluster.

    nodes       in scenario order           experts     expert id -> the shard workers that hold it,
                the same in every layer
    directory   worker -> node              max_model_len   longest prompt plus answer, resolved
    kv_block_bytes   of one KV block, all layers
    ranks   chip -> its ranks; of one that has no others, itself
    shares      (expert, shard) -> what that copy has of the expert's tokens, in any unit; even
                where it is left out
    spares      shard -> those that stand by for it
    fold        what is computed as one
    """

    nodes: tuple[NodePlan, ...]
    experts: Mapping[int, tuple[str, ...]]
    directory: Mapping[str, str]
    max_model_len: int
    kv_block_bytes: int
    ranks: Mapping[str, Ranks]
    shares: Mapping[tuple[int, str], float] = field(default_factory=dict)
    spares: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fold: FoldPlan = field(default_factory=FoldPlan)

    @property
    def is_split(self) -> bool:
        """Whether any chip has several ranks."""
        return any(ranks.is_split for ranks in self.ranks.values())

    @property
    def forms(self) -> dict[str, BlockForm]:
        """Chip, or rank of one -> how it keeps its KV."""
        return {w.name: w.form for w in self._parts()}

    @property
    def common_tokens(self) -> int:
        """Of the largest pieces of which the KV blocks of all chips are made."""
        return gcd(*(form.size for form in self.forms.values()))

    @property
    def span_tokens(self) -> int:
        """The same of slices of blocks: a chip has no larger piece in one place."""
        return gcd(*(form.slice_tokens for form in self.forms.values()))

    def _parts(self) -> Iterator[PartPlan]:
        return (worker for worker in self.workers if isinstance(worker, PartPlan))

    def part(self, worker: PartPlan) -> Part:
        """What a chip, or a rank of one, holds."""
        if isinstance(worker, RankPlan):
            return self.ranks[worker.chip].parts[worker.number]
        ranks = self.ranks[worker.name]
        return ranks.parts[ranks.leader]

    @property
    def workers(self) -> tuple[WorkerPlan, ...]:
        """All workers, node by node."""
        return tuple(worker for node in self.nodes for worker in node.workers)

    def names(self, *roles: PlanRole) -> tuple[str, ...]:
        """Names of the workers with these roles, in plan order."""
        return tuple(worker.name for worker in self.workers if worker.role in roles)

    def worker(self, name: str) -> WorkerPlan:
        """Raises KeyError for a name that is not in the plan."""
        for worker in self.workers:
            if worker.name == name:
                return worker
        raise KeyError(name)

    def node(self, name: str) -> NodePlan:
        """A node by its own name. Raises KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)
