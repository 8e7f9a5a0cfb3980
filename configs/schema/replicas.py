"""Further copies of experts, so that a shard with many tokens shares them with others."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from configs.schema.section import Section

Load = Annotated[float, Field(ge=0)]


class ExpertReplicas(Section):
    """Either copies by hand, or a strategy that decides for all experts, and where each copy lies.

    copies     expert -> how many more of it there are; each lies on the shard that holds the fewest
    strategy   "eplb", DeepSeek's load balancer (github.com/deepseek-ai/EPLB): the heaviest expert
               has another copy until all slots are taken, and copies are packed so that shards
               have even loads
    slots      of all shards together, one for each copy; at least one for each expert
    loads      tokens that want each expert, in any unit, expert 0 first
    path       instead: the JSON file of a run, which has counted them (`perfuse run --json`)
    shares     of an expert's tokens that its copies have: "even", as the original has it; "loads",
               such that shards are as even as they can be for these loads
    nodes      equal runs of the shards that stand close to each other. With more than one, the
               gate's groups of experts are packed to them first, where they are a multiple of them
    """

    copies: Mapping[int, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    strategy: Literal["eplb"] | None = None
    slots: Annotated[int, Field(ge=1)] | None = None
    loads: tuple[Load, ...] = ()
    path: str | None = None
    nodes: Annotated[int, Field(ge=1)] = 1
    shares: Literal["even", "loads"] = "even"

    @model_validator(mode="before")
    @classmethod
    def _by_hand(cls, given: Any) -> Any:
        """`{3: 1}` is `{copies: {3: 1}}`."""
        if isinstance(given, Mapping) and given and all(str(key).isdigit() for key in given):
            return {"copies": given}
        return given

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.strategy is None:
            asked = [key for key in ("slots", "loads", "path") if getattr(self, key)]
            asked += ["shares"] if self.shares == "loads" else []
            if asked:
                raise ValueError(
                    f"replicas has {asked[0]} and no strategy: say strategy: eplb, or copies alone"
                )
            if not self.copies:
                raise ValueError("replicas says nothing: give copies, or strategy: eplb and slots")
            return self
        if self.copies:
            raise ValueError("replicas has both copies and strategy: keep one")
        if self.slots is None:
            raise ValueError("replicas has strategy eplb and no slots: say how many copies in all")
        if bool(self.loads) == (self.path is not None):
            which = "both loads and path" if self.loads else "neither loads nor path"
            raise ValueError(f"replicas has {which}: give one of them")
        return self
