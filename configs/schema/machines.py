"""What nodes ask of the machines of a Ray cluster, which the world `ray` places them on."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator

from configs.schema.section import Section
from configs.units import Bytes

Amount = Annotated[float, Field(ge=0.0001, le=1e15)]
OWN_KEYS = {"CPU": "cpus", "memory": "memory"}


class MachinesSection(Section):
    """Of each node of a group; other worlds do not look at it.

    spread        each node of the group on a machine of its own; else they may share machines
    cpus          of Ray's processors that a node takes
    memory_bytes  of Ray's memory that a node takes; None: as it comes
    resources     custom resources that a node takes: name -> how much
    labels        what the machine must be labelled with: key -> value, as Ray's label selectors
    """

    spread: bool = False
    cpus: float = Field(default=0.01, ge=0.0001, le=100_000)
    memory_bytes: Bytes | None = Field(
        default=None, validation_alias="memory", serialization_alias="memory", ge=1
    )
    resources: Mapping[str, Amount] = Field(default_factory=dict)
    labels: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("resources")
    @classmethod
    def _has_keys_of_its_own(cls, resources: Mapping[str, float]) -> Mapping[str, float]:
        for name, key in OWN_KEYS.items():
            if name in resources:
                raise ValueError(f"{name!r} has a key of its own: {key}")
        return resources
