"""KV blocks that leave a chip's cache and come back: where they lie meanwhile, and which do."""

from typing import Literal, Self

from pydantic import Field, model_validator

from configs.schema.section import Name, Section
from configs.units import Bytes

MEMORY = "memory"
Admission = Literal["always", "second_use", "write_cost"]


class KvOffload(Section):
    """What a chip evicts is kept in a slower tier, and read again instead of computed again.

    tier        a tier of the chip's own device; or "memory", the memory servers' pool, to which
                blocks go as messages
    capacity_bytes   of each chip, in a tier of its own; the pool has a size already
    admission   which evicted blocks are written: "always"; "second_use", those whose tokens were
                asked for twice; "write_cost", those that save more time than their writing takes,
                as far as the tier's wear allows
    """

    tier: Name
    capacity_bytes: Bytes | None = Field(
        default=None, validation_alias="capacity", serialization_alias="capacity", gt=0
    )
    admission: Admission = "always"

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if self.tier == MEMORY and self.capacity_bytes is not None:
            raise ValueError(
                "capacity is given and tier 'memory': the memory servers' pool has a size of its "
                "own; leave capacity out"
            )
        if self.tier != MEMORY and self.capacity_bytes is None:
            raise ValueError(
                f"tier is {self.tier!r} and capacity is not given: say how much of it each chip "
                "may fill, e.g. capacity: 8 GB"
            )
        return self

    @property
    def own_tier(self) -> str | None:
        """The chip's tier; None where memory servers hold what it evicts."""
        return None if self.tier == MEMORY else self.tier
