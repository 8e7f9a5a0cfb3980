"""One complete run: the same file in every world."""

from typing import Self

from pydantic import Field, model_validator

from configs.nearest import nearest
from configs.schema.cluster import ClusterSection
from configs.schema.economics import EconomicsSection
from configs.schema.faults import Fault, named
from configs.schema.model import ModelSection
from configs.schema.placement import PlacementSection
from configs.schema.section import Name, Section
from configs.schema.slo import SloSection
from configs.schema.workload import WorkloadSection


class Scenario(Section):
    """Everything a run depends on. Read with `load_scenario`; `base` and preset names are resolved
    by then.
    """

    name: Name
    cluster: ClusterSection
    model: ModelSection = ModelSection()
    placement: PlacementSection = PlacementSection()
    workload: WorkloadSection
    faults: tuple[Fault, ...] = ()
    slo: SloSection = SloSection()
    economics: EconomicsSection = EconomicsSection()
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fault_names_differ(self) -> Self:
        named(self.faults)
        return self

    @model_validator(mode="after")
    def _priced_devices_exist(self) -> Self:
        known = sorted({group.device.name for group in self.cluster.nodes.values()})
        for name in self.economics.devices:
            if name not in known:
                raise ValueError(
                    f"economics.devices has {name!r}, which no node is: {nearest(name, known)}"
                )
        return self

    @model_validator(mode="after")
    def _store_exists(self) -> Self:
        questions = self.workload.prompts.questions
        if questions is not None and questions.retrieval is not None:
            store = questions.retrieval.store
            if store not in self.placement.collections:
                raise ValueError(
                    f"workload.prompts.questions.retrieval.store is {store!r}, which is not in "
                    f"placement.collections: {nearest(store, self.placement.collections)}"
                )
        return self

    def of_group(self, group: str) -> "Scenario":
        """As one group's nodes have it: with KV blocks in that group's form."""
        kv, changes = self.cluster.nodes[group].kv, dict[str, object]()
        if kv.block_size is not None:
            changes["block_size"] = kv.block_size
        if kv.dtype is not None:
            changes["kv_cache_dtype"] = kv.dtype
        if not changes:
            return self
        return self.model_copy(update={"model": self.model.model_copy(update=changes)})
