"""Vector stores that go when nobody has used them for some days.

Which ones and when is known here, in this process's memory: another gateway knows of none. One that
is due goes before anybody sees a store again.
"""

from dataclasses import dataclass

DAY_S = 86_400


@dataclass(slots=True)
class Lease:
    """`active_s`: when it was used last, in Unix seconds."""

    days: int
    active_s: int

    @property
    def expires_s(self) -> int:
        return self.active_s + self.days * DAY_S


class Expiry:
    """Of the stores that were given a time."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}

    def give(self, store_id: str, days: int, now_s: int) -> None:
        self._leases[store_id] = Lease(days, now_s)

    def get(self, store_id: str) -> Lease | None:
        return self._leases.get(store_id)

    def used(self, store_id: str, now_s: int) -> None:
        """It has all its days before it again."""
        if store_id in self._leases:
            self._leases[store_id].active_s = now_s

    def drop(self, store_id: str) -> None:
        self._leases.pop(store_id, None)

    def due(self, now_s: int) -> list[str]:
        return [name for name, lease in self._leases.items() if lease.expires_s <= now_s]
