"""A memory tier as figures: capacity, bandwidth, latency, how it is organised, what it costs."""

from typing import Self

from pydantic import Field, model_validator

from configs.schema.flash import Layout, ReadDisturb, ReadRetry, problems_of_banks
from configs.schema.flash_file import FlashFileSpec, problem_of_file
from configs.schema.section import Evidence, Section
from configs.schema.sharing import Efficiency, Sharing
from configs.units import (
    BANDWIDTH,
    SIZE,
    Bytes,
    BytesPerSecond,
    DurationNs,
    KilogramCo2e,
    PicojoulePerBit,
    UsDollar,
    Watts,
)


class TierSpec(Section):
    """One memory tier of a machine.

    capacity_bytes        usable, not raw
    read/write_bytes_per_s   peak; `efficiency` of it is what long streams reach
    read/write_latency_ns    from request to first byte; with banks, sensing a page and programming
                          one, for which its plane is taken
    page_bytes            smallest unit moved: smaller accesses cost a whole page (with banks, a
                          whole page is sensed, and whole `read_granularity_bytes` are moved)
    queue_depth           most pages in flight at once, each way. They share one latency; with few,
                          it bounds bandwidth to depth x page / (latency + a page's turn)
    buffer_bytes          SRAM behind it, where reads in flight land. Half of it is being consumed
                          while the other half fills, so it bounds reads in flight as well
    buffer_pj_per_bit     energy of a bit read through it, in and out
    prefetch              most pages in flight of one reader that says nothing; None: no bound
    bus_bytes_per_s       to the outside, for what no engine beside the tier computes on; None: as
                          fast as it is read, and no resource of its own
    bus_pj_per_bit        energy of a bit that crosses that bus, beside that of the access
    endurance_cycles      program/erase cycles a page survives, or None where wear is of no concern
    erase_latency_ns      for which a plane is taken while it erases; None: ten programs
    file                  a real file on the node's disk, which holds what lies in it
    read/write_pj_per_bit    energy of the access, of a bit in whole pages; with banks, of a bit
                          sensed and of one programmed
    channel_pj_per_bit    with banks, of a bit that crosses a channel, beside that
    sharing               of those who read at once, and of those who write
    shared_bus            reads and writes take each other's time; else each has its own way
    banks                 of each channel; None: a tier without banks, as one server
    channels              each with its own bus (an equal part of the bandwidth) and its own banks
    planes                of each bank: so many pages are sensed or programmed in it at once
    page_cache            pages that a bank keeps after sensing them: reading one again senses none
    read_granularity_bytes   what is moved of a page at least; None: all of it
    read_retry, read_disturb   what flash does beside reading (`configs.schema.flash`)
    layout                how expert weights lie in it; None: in one piece, each page read once
    idle_watts, active_watts   drawn doing nothing; drawn at full bandwidth (shown)
    price_usd, embodied_kg_co2e   of all of it: to buy, and emitted in making it. These and
                          idle_watts come on top of the device's (`configs.totals`); None: in it
    assumed               keys of this tier that no source backs
    """

    capacity_bytes: Bytes = Field(validation_alias="capacity", serialization_alias="capacity", gt=0)
    read_bytes_per_s: BytesPerSecond = Field(validation_alias="read", serialization_alias="read")
    write_bytes_per_s: BytesPerSecond = Field(validation_alias="write", serialization_alias="write")
    efficiency: Efficiency = 1.0
    read_latency_ns: DurationNs = Field(
        validation_alias="read_latency", serialization_alias="read_latency"
    )
    write_latency_ns: DurationNs = Field(
        validation_alias="write_latency", serialization_alias="write_latency"
    )
    page_bytes: Bytes = Field(validation_alias="page", serialization_alias="page", gt=0)
    queue_depth: int = Field(ge=1)
    buffer_bytes: Bytes | None = Field(
        default=None, validation_alias="buffer", serialization_alias="buffer"
    )
    buffer_pj_per_bit: PicojoulePerBit = Field(
        default=0.0, validation_alias="buffer_energy", serialization_alias="buffer_energy"
    )
    bus_bytes_per_s: BytesPerSecond | None = Field(
        default=None, validation_alias="bus", serialization_alias="bus"
    )
    bus_pj_per_bit: PicojoulePerBit = Field(
        default=0.0, validation_alias="bus_energy", serialization_alias="bus_energy"
    )
    prefetch: int | None = Field(default=None, ge=1)
    endurance_cycles: int | None = Field(default=None, ge=1)
    erase_latency_ns: DurationNs | None = Field(
        default=None, validation_alias="erase_latency", serialization_alias="erase_latency"
    )
    file: FlashFileSpec | None = None
    read_pj_per_bit: PicojoulePerBit = Field(
        validation_alias="read_energy", serialization_alias="read_energy"
    )
    write_pj_per_bit: PicojoulePerBit = Field(
        validation_alias="write_energy", serialization_alias="write_energy"
    )
    channel_pj_per_bit: PicojoulePerBit = Field(
        default=0.0, validation_alias="channel_energy", serialization_alias="channel_energy"
    )
    sharing: Sharing = "fifo"
    shared_bus: bool = False
    banks: int | None = Field(default=None, ge=1, le=1 << 16)
    channels: int = Field(default=1, ge=1, le=1 << 10)
    planes: int = Field(default=1, ge=1, le=1 << 16)
    page_cache: int = Field(default=0, ge=0, le=1 << 16)
    read_granularity_bytes: Bytes | None = Field(
        default=None,
        validation_alias="read_granularity",
        serialization_alias="read_granularity",
        gt=0,
    )
    read_retry: ReadRetry | None = None
    read_disturb: ReadDisturb | None = None
    layout: Layout | None = None
    idle_watts: Watts | None = Field(
        default=None, validation_alias="idle_power", serialization_alias="idle_power"
    )
    active_watts: Watts | None = Field(
        default=None, validation_alias="active_power", serialization_alias="active_power"
    )
    price_usd: UsDollar | None = Field(
        default=None, validation_alias="price", serialization_alias="price"
    )
    embodied_kg_co2e: KilogramCo2e | None = Field(
        default=None, validation_alias="embodied_carbon", serialization_alias="embodied_carbon"
    )
    evidence: Evidence = "assumed"
    source: str = ""
    assumed: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _sustains_something(self) -> Self:
        """Of a slow peak a small part may be too little, though neither is by itself."""
        for key, peak, sustained in (
            ("read", self.read_bytes_per_s, self.sustained_read_bytes_per_s),
            ("write", self.write_bytes_per_s, self.sustained_write_bytes_per_s),
        ):
            if sustained < BANDWIDTH.least:
                raise ValueError(
                    f"{key} is {BANDWIDTH.format(peak)} and efficiency {self.efficiency}: long "
                    f"streams reach {sustained} B/s, and it must be at least "
                    f"{BANDWIDTH.format(BANDWIDTH.least)}"
                )
        return self

    @model_validator(mode="after")
    def _holds_its_pages(self) -> Self:
        page = SIZE.format(self.page_bytes)
        if self.page_bytes > self.capacity_bytes:
            raise ValueError(
                f"page is {page} and capacity {SIZE.format(self.capacity_bytes)}: a tier holds at "
                "least one page"
            )
        if self.buffer_bytes is not None and self.buffer_bytes < 2 * self.page_bytes:
            raise ValueError(
                f"buffer is {SIZE.format(self.buffer_bytes)} and page {page}: it must hold at "
                f"least two, {SIZE.format(2 * self.page_bytes)}, one that fills and one that is "
                "consumed"
            )
        idle, active = self.idle_watts, self.active_watts
        if idle is not None and active is not None and active < idle:
            raise ValueError(
                f"idle_power is {idle:g} W and active_power {active:g} W: at work it draws at "
                "least as much as idle"
            )
        return self

    @model_validator(mode="after")
    def _energy_is_of_something(self) -> Self:
        bus = "bus", "fast", self.bus_pj_per_bit, self.bus_bytes_per_s
        buffer = "buffer", "large", self.buffer_pj_per_bit, self.buffer_bytes
        for key, how, pj, there in (bus, buffer):
            if pj and there is None:
                raise ValueError(
                    f"{key}_energy is {pj:g} pJ/bit and there is no {key}: say how {how} it is in "
                    f"{key}, or leave {key}_energy out"
                )
        return self

    @model_validator(mode="after")
    def _file_is_flash(self) -> Self:
        if self.file is not None and (
            problem := problem_of_file(
                self.file, self.page_bytes, self.capacity_bytes, self.endurance_cycles
            )
        ):
            raise ValueError(f"file: {problem}")
        return self

    @model_validator(mode="after")
    def _banks_are_whole(self) -> Self:
        if self.banks is None:
            needs_banks = {
                "channels": self.channels > 1,
                "planes": self.planes > 1,
                "page_cache": self.page_cache > 0,
                "prefetch": self.prefetch is not None,
                "read_granularity": self.read_granularity_bytes is not None,
                "channel_energy": self.channel_pj_per_bit > 0,
                "read_retry": self.read_retry is not None,
                "read_disturb": self.read_disturb is not None,
                "erase_latency": self.erase_latency_ns is not None,
            }
            if said := [key for key, is_said in needs_banks.items() if is_said]:
                raise ValueError(f"{said[0]} says something of banks: say how many in banks")
            return self
        if problem := problems_of_banks(
            num_planes=self.num_planes,
            page_bytes=self.page_bytes,
            capacity_bytes=self.capacity_bytes,
            granularity_bytes=self.read_granularity_bytes,
            read_bytes_per_s=self.sustained_read_bytes_per_s,
            sense_ns=self.read_latency_ns,
            is_fair=self.sharing == "fair",
        ):
            raise ValueError(problem)
        return self

    @property
    def sustained_read_bytes_per_s(self) -> int:
        """What long reads reach: peak times efficiency."""
        return int(self.read_bytes_per_s * self.efficiency)

    @property
    def sustained_write_bytes_per_s(self) -> int:
        """What long writes reach: peak times efficiency."""
        return int(self.write_bytes_per_s * self.efficiency)

    @property
    def erase_ns(self) -> int:
        """Of one plane. Ten programs where nothing is said: ASSUMED, as SLC erases in 2 to 3 ms and
        programs in some 250 us.
        """
        return (
            10 * self.write_latency_ns if self.erase_latency_ns is None else self.erase_latency_ns
        )

    @property
    def num_planes(self) -> int:
        """Of all banks of all channels: pages that are sensed at once."""
        return self.channels * (self.banks or 1) * self.planes

    @property
    def reads_in_flight_most(self) -> int:
        """Places for reads in flight: the queue's, or fewer where the buffer is smaller."""
        if self.buffer_bytes is None:
            return self.queue_depth
        return min(self.queue_depth, self.buffer_bytes // (2 * self.page_bytes))
