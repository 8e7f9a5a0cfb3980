"""A tier's way to the outside. What an engine beside the tier reads never leaves it; all else
crosses the tier's bus, which is a resource of its own. Pure.

    hbm ══ hbm.read ══▶ engine beside it            8 TB/s within
     ║
     ╚═ hbm.read and hbm.bus ══▶ main engine, links   2 TB/s without
"""

from collections.abc import Mapping

from configs.schema.device import DeviceSpec
from workers.hardware.work import Demand, Work


class Buses:
    """engines   tier with a bus -> engines beside it"""

    def __init__(self, engines: Mapping[str, frozenset[str]]) -> None:
        self._engines = engines

    @classmethod
    def of(cls, spec: DeviceSpec) -> "Buses | None":
        """None where no tier has one."""
        engines = {
            tier: frozenset(name for name, engine in spec.engines.items() if engine.beside == tier)
            for tier, figures in spec.tiers.items()
            if figures.bus_bytes_per_s is not None
        }
        return cls(engines) if engines else None

    def crossed(self, work: Work) -> Work:
        """The same work with what crosses buses: each tier's bytes, both ways, unless an engine
        beside that tier has a part in the launch.
        """
        named = [demand.resource.partition(".") for demand in work.demands]
        at_work = {name for name, _, _ in named}
        crossing = [
            Demand(f"{tier}.bus", demand.amount)
            for (tier, _, way), demand in zip(named, work.demands, strict=True)
            if way in ("read", "write")
            and (engines := self._engines.get(tier)) is not None
            and not engines & at_work
        ]
        return work._replace(demands=(*work.demands, *crossing)) if crossing else work
