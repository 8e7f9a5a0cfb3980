"""`Paths` where the native library is: the same shares and the same ends (`kernels.paths`)."""

from collections.abc import Mapping
from typing import Any, Protocol

from kernels import paths as native
from workers.hardware.sharing.hops import PathFlow, nobody
from workers.hardware.sharing.paths import Paths


class ManyPaths(Protocol):
    """See `Paths`."""

    @property
    def next_end_ns(self) -> int | None: ...

    @property
    def now_ns(self) -> int: ...

    def add(self, name: str, rate_per_s: int) -> None: ...

    def __contains__(self, name: str) -> bool: ...

    def join(self, now_ns: int, flow: PathFlow) -> None: ...

    def leave(self, now_ns: int, flow: PathFlow) -> None: ...

    def advance(self, now_ns: int) -> list[PathFlow]: ...

    def num_flows(self, name: str) -> int: ...

    def peak(self, name: str) -> int: ...

    def busy_ns(self, name: str) -> int: ...

    def served(self, name: str) -> int: ...

    def saved(self) -> Any:
        """All that there is, in tuples, numbers, bytes and texts: `paths_of` goes on from it. Flows
        keep their tags, and tell nobody any more.
        """
        ...


class FastPaths:
    """See `kernels.paths.Shares`."""

    def __init__(self, rates_per_s: Mapping[str, int], shares: native.Shares | None = None) -> None:
        """shares: what resources are added to; None: new ones."""
        self._shares = shares or native.Shares()
        self._hops: dict[str, int] = {}
        self._ways: dict[tuple[str, ...], int] = {}
        self._flows: dict[int, PathFlow] = {}  # by number
        self.now_ns = 0
        for name, rate_per_s in rates_per_s.items():
            self.add(name, rate_per_s)

    def add(self, name: str, rate_per_s: int) -> None:
        assert name not in self._hops, f"{name} is known"
        self._hops[name] = self._shares.add(rate_per_s)

    def __contains__(self, name: str) -> bool:
        return name in self._hops

    @property
    def next_end_ns(self) -> int | None:
        end_ns = self._shares.next_end_ns()
        return None if end_ns < 0 else end_ns

    def join(self, now_ns: int, flow: PathFlow) -> None:
        if now_ns > self.now_ns:
            self.now_ns = now_ns
        path = tuple(flow.path)
        way = self._ways.get(path)
        if way is None:
            hops = [self._hops[name] for name in path]
            way = self._ways[path] = self._shares.way(hops)
        limit = -1 if flow.limit_per_s is None else flow.limit_per_s
        number = self._shares.join(now_ns, flow.amount, way, limit, flow.weight, flow.rank)
        flow.order = number
        self._flows[number] = flow

    def leave(self, now_ns: int, flow: PathFlow) -> None:
        if flow.order < 0 or self._flows.get(flow.order) is not flow:
            return
        del self._flows[flow.order]
        self.now_ns = max(now_ns, self.now_ns)
        self._shares.leave(now_ns, flow.order)

    def advance(self, now_ns: int) -> list[PathFlow]:
        shares, ended = self._shares, list[PathFlow]()
        while 0 <= (end_ns := shares.next_end_ns()) <= now_ns:
            flow = self._flows.pop(shares.end(now_ns))
            flow.end_ns = end_ns
            ended.append(flow)
        shares.end(now_ns)  # nobody: time goes on
        self.now_ns = max(now_ns, self.now_ns)
        return ended

    def num_flows(self, name: str) -> int:
        return self._shares.num_flows(self._hops[name])

    def peak(self, name: str) -> int:
        return self._shares.peak(self._hops[name])

    def busy_ns(self, name: str) -> int:
        return self._shares.busy_ns(self._hops[name])

    def served(self, name: str) -> int:
        return self._shares.served(self._hops[name])

    def saved(self) -> Any:
        flows = tuple([(n, f.amount, tuple(f.path), f.tag) for n, f in self._flows.items()])
        return self._shares.saved(), self.now_ns, tuple(self._hops), tuple(self._ways), flows

    @classmethod
    def of_saved(cls, saved: Any) -> "FastPaths":
        shares, now_ns, hops, ways, flows = saved
        paths = cls({}, native.Shares(shares))
        paths.now_ns = now_ns
        paths._hops = {name: number for number, name in enumerate(hops)}
        paths._ways = {way: number for number, way in enumerate(ways)}
        for number, amount, path, tag in flows:
            flow = paths._flows[number] = PathFlow(nobody, amount, path)
            flow.order, flow.tag = number, tag
        return paths


def make_paths() -> ManyPaths:
    """The fastest that there is."""
    return FastPaths({}) if native.available else Paths({})


def paths_of(saved: Any) -> ManyPaths:
    """What goes on from there: of the kind that was saved."""
    return FastPaths.of_saved(saved) if isinstance(saved[0], bytes) else Paths.of_saved(saved)
