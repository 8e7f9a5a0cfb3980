"""Work is declared, never guessed: floating-point operations by dtype, bytes by memory tier."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Work:
    """What one kernel launch asks of a machine.

    name      what it is, for traces: "attention", "experts", "logits", "search"
    flops     dtype ("fp32", "bf16", "int8") -> operations (a multiply-add counts two)
    reads     memory tier ("hbm", "hbf", "ddr", ...) -> bytes read
    writes    memory tier -> bytes written
    """

    name: str
    flops: Mapping[str, int] = field(default_factory=dict)
    reads: Mapping[str, int] = field(default_factory=dict)
    writes: Mapping[str, int] = field(default_factory=dict)
