"""The faults of one node's links as they stand now: those of the scenario first, then what is told
while it runs.
"""

from collections.abc import Mapping

from cluster.faults.rules import put, take_out
from configs.schema.faults import FaultRule
from workers.host.rng import Rng
from workers.wire.endpoint import Endpoint


class StandingFaults:
    """directory   worker -> node, of the whole cluster"""

    def __init__(self, endpoint: Endpoint, directory: Mapping[str, str], rng: Rng) -> None:
        self._endpoint, self._directory, self._rng = endpoint, directory, rng
        self._faults: dict[str, FaultRule] = {}

    def become(self, faults: Mapping[str, FaultRule]) -> None:
        """These, by name, and no others. One that stays as it was keeps what it remembers."""
        for name, fault in list(self._faults.items()):
            if faults.get(name) != fault:
                take_out(self._endpoint, name)
                del self._faults[name]
        for name, fault in faults.items():
            if name not in self._faults:
                self._faults[name] = fault
                if not fault.waits:
                    put(self._endpoint, name, fault, self._directory, self._rng)
        self._endpoint.has_faults = bool(self._faults)

    def begin(self, name: str, at_ns: int) -> None:
        """What one that stands here has waited for happened then."""
        begun = self._faults[name].model_copy(update={"start_ns": at_ns})
        put(self._endpoint, name, begun, self._directory, self._rng)
