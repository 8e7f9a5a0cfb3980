"""How many values a request may hold, and how deep: small ones cost more than their bytes say."""

from collections.abc import Mapping, Sequence

from workers.errors import InvalidRequest

# Each is copied some times on its way, on event loops: so many take 20 ms of one at a time.
VALUES_MAX = 1 << 16


def check_values(name: str, value: object) -> None:
    """Raises InvalidRequest where JSON has more values, keys among them, however deep they are."""
    left, num_values = [value], 0
    while left:
        inner = left.pop()
        if isinstance(inner, Mapping):
            num_values += 2 * len(inner)
            left += inner.values()
        elif isinstance(inner, list | tuple):
            num_values += len(inner)
            left += inner
        if num_values > VALUES_MAX:
            raise InvalidRequest(
                f"{name} has more than {VALUES_MAX} values, with those inside others: at most so "
                "many are read",
                param=name,
            )


def is_deeper(value: object, levels: int) -> bool:
    """Whether JSON has values inside more lists and objects than that."""
    layer: Sequence[object] = [value]
    for _ in range(levels):
        layer = [
            inner
            for one in layer
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not layer:
            return False
    return True
