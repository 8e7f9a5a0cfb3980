"""A node's way to the others. Facts live in `configs/links`, one file a link."""

from pydantic import Field

from configs.schema.device import Sharing
from configs.schema.section import Evidence, Name, Section
from configs.units import BytesPerSecond, DurationNs, PicojoulePerBit


class LinkSpec(Section):
    """One endpoint's link, one direction.

    latency_ns    of an empty message from one endpoint to the other, one way
    bytes_per_s   of one endpoint, each way
    pj_per_bit    energy of moving one bit across
    sharing       of messages on their way at once, at each end
    assumed       keys that no source backs
    """

    name: Name
    latency_ns: DurationNs = Field(validation_alias="latency", serialization_alias="latency")
    bytes_per_s: BytesPerSecond = Field(
        validation_alias="bandwidth", serialization_alias="bandwidth"
    )
    pj_per_bit: PicojoulePerBit = Field(
        default=0.0, validation_alias="energy", serialization_alias="energy"
    )
    sharing: Sharing = "fair"
    evidence: Evidence = "assumed"
    source: str = ""
    assumed: tuple[str, ...] = ()
