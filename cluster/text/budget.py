"""What one render of a chat template may take, and what its calls and operators would make."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from cluster.text.growth import TooMuch, formatted, longest

STEPS_MAX = 1_000_000  # a conversation of 10,000 messages takes about twenty each
LENGTH_MAX = 1 << 25  # of one text; the largest body has 4 MiB
TOTAL_MAX = 1 << 28
NUMBER_BITS_MAX = 4096
SECONDS_MAX = 3.0  # of this thread, so a busy machine refuses nothing


@dataclass(slots=True)
class Budget:
    """What one render may still take."""

    steps: int = STEPS_MAX
    total: int = TOTAL_MAX
    begun_s: float = field(default_factory=time.thread_time)
    # By id, with the value: no other may get its id. A sandbox that lets nothing change keeps both.
    weights: dict[int, tuple[Any, int]] = field(default_factory=dict)

    def spend(self, steps: int = 1) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise TooMuch(f"it takes more than {STEPS_MAX} steps")
        if time.thread_time() - self.begun_s > SECONDS_MAX:
            raise TooMuch(f"it takes more than {SECONDS_MAX:g} s")

    def weigh(self, value: object) -> int:
        """How long a value is once it is written out: what is held twice counts twice, else
        `[x, x]` a hundred times over would be small until somebody prints or compares it.
        """
        if isinstance(value, str):
            return len(value) + 1
        if not isinstance(value, (list, tuple, dict)):
            return 1
        known = self.weights.get(id(value))
        if known is None:
            items = [*value, *value.values()] if isinstance(value, dict) else value
            known = value, 1 + sum(map(self.weigh, items))
            self.weights[id(value)] = known
            if known[1] > LENGTH_MAX:
                raise TooMuch(f"it makes a value of {known[1]} characters and items")
        return known[1]

    def make(self, length: int) -> None:
        """Something of this length comes into being."""
        self.total -= length
        if length > LENGTH_MAX or self.total < 0:
            raise TooMuch(f"it makes more than {LENGTH_MAX} characters, or {TOTAL_MAX} in all")


BUDGET: ContextVar[Budget] = ContextVar("budget")


def made(value: Any) -> Any:
    if isinstance(value, (str, list, tuple, dict)):
        budget = BUDGET.get()
        budget.weigh(value)
        budget.make(len(value))
    return value


def check_call(name: str, operands: tuple[Any, ...]) -> None:
    """Before it happens: what it takes, and how long what it makes can become."""
    budget = BUDGET.get()
    taken = [o for o in operands if isinstance(o, (str, list, tuple, dict, range))]
    budget.spend(1 + sum(len(o) for o in taken if not isinstance(o, str)))
    budget.make(longest(name, operands, budget.weigh))


def check_operands(operator: str, left: Any, right: Any) -> None:
    budget = BUDGET.get()
    budget.spend()
    sized = [hasattr(operand, "__len__") for operand in (left, right)]
    if operator == "*" and any(sized):
        items, times = (left, right) if sized[0] else (right, left)
        budget.make(len(items) * max(times, 0) if isinstance(times, int) else 0)
    elif operator == "+" and all(sized):
        budget.make(len(left) + len(right))
    elif operator == "%" and isinstance(left, str):
        budget.make(formatted(left, (right,), budget.weigh))
    elif isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * max(right, 0) if operator == "**" else left.bit_length()
        if bits + (right.bit_length() if operator == "*" else 0) > NUMBER_BITS_MAX:
            raise TooMuch(f"it makes a number of more than {NUMBER_BITS_MAX} bits")
