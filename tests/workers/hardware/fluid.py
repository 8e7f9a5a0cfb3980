"""Fair sharing reckoned the plain way: exact fractions, everything anew at each event.

What the policies are compared with. It shares no line with them: no virtual time, no heap, no
neighbours, no rounded share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Wish:
    """A flow to come. Units and ns; `leaves_ns` None: it stays until it ends."""

    joins_ns: int
    amount: Fraction
    path: tuple[str, ...]
    limit: Fraction | None = None
    weight: int = 1
    leaves_ns: int | None = None


def max_min(wishes: Sequence[Wish], rates: Mapping[str, Fraction]) -> list[Fraction]:
    """Units a ns of each flow: all are raised together by the most that nothing forbids, and who
    can be raised no more stays where it is.
    """
    got = [Fraction(0)] * len(wishes)
    growing = list(range(len(wishes)))
    while growing:
        steps = []
        for name, rate in rates.items():
            weight = sum(wishes[i].weight for i in growing if name in wishes[i].path)
            if weight:
                spare = rate - sum(got[i] for i, w in enumerate(wishes) if name in w.path)
                steps.append(spare / weight)
        for i in growing:
            limit = wishes[i].limit
            if limit is not None:
                steps.append((limit - got[i]) / wishes[i].weight)
        for i in growing:
            got[i] += min(steps) * wishes[i].weight
        full = [
            name
            for name, rate in rates.items()
            if sum(got[i] for i, w in enumerate(wishes) if name in w.path) == rate
        ]
        growing = [
            i
            for i in growing
            if got[i] != wishes[i].limit and not any(name in full for name in wishes[i].path)
        ]
    check_max_min(wishes, rates, got)
    return got


def check_max_min(
    wishes: Sequence[Wish], rates: Mapping[str, Fraction], got: Sequence[Fraction]
) -> None:
    """Bertsekas and Gallager, Data Networks (1992), section 6.5: shares are max-min fair exactly
    if each flow is at its limit or has a bottleneck: a full resource where nobody has more.
    """
    for name, rate in rates.items():
        assert sum(got[i] for i, w in enumerate(wishes) if name in w.path) <= rate
    for i, wish in enumerate(wishes):
        assert wish.limit is None or got[i] <= wish.limit
        bottlenecks = []
        for name in wish.path:
            there = [j for j, w in enumerate(wishes) if name in w.path]
            is_full = sum(got[j] for j in there) == rates[name]
            most = max(got[j] / wishes[j].weight for j in there)
            bottlenecks.append(is_full and most == got[i] / wish.weight)
        assert got[i] == wish.limit or any(bottlenecks)


def ends_of(
    wishes: Sequence[Wish], rates: Mapping[str, Fraction]
) -> tuple[dict[int, int], dict[str, Fraction]]:
    """(wish -> when it ends, those that leave before left out; resource -> units served).

    Ends are whole ns, rounded up, and a flow keeps its share until then. At one moment flows end
    first, then others leave, then others join.
    """
    left = {i: wish.amount for i, wish in enumerate(wishes)}
    served = dict.fromkeys(rates, Fraction(0))
    here: list[int] = []
    ends: dict[int, int] = {}
    now_ns, to_come = 0, sorted(range(len(wishes)), key=lambda i: wishes[i].joins_ns)
    while here or to_come:
        shares = dict(zip(here, max_min([wishes[i] for i in here], rates), strict=True))
        next_ns = [now_ns + -(-left[i] // shares[i]) for i in here]
        next_ns += [at for i in here if (at := wishes[i].leaves_ns) is not None]
        next_ns += [wishes[i].joins_ns for i in to_come[:1]]
        then_ns = int(min(next_ns))
        for i in here:
            had = min(left[i], shares[i] * (then_ns - now_ns))
            left[i] -= had
            for name in wishes[i].path:
                served[name] += had
        now_ns = then_ns
        ends |= {i: now_ns for i in here if left[i] == 0}
        here = [i for i in here if left[i] and wishes[i].leaves_ns != now_ns]
        here += [i for i in to_come if wishes[i].joins_ns == now_ns]
        to_come = [i for i in to_come if wishes[i].joins_ns > now_ns]
    return ends, served
