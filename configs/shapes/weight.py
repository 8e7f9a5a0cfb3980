"""Weights as a list: what each is called, its size, how many are alike, and whose they are.

All that a shape says of parameters, bytes and multiply-adds of weights is a sum over such lists.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Role = Literal[
    "attention",  # projections of queries, keys, values and outputs
    "index",  # what chooses the keys that sparse attention meets
    "state",  # linear attention and state spaces
    "dense",  # a dense network, or what every token visits beside experts
    "shared",
    "experts",
    "router",
    "norm",  # gains and biases
    "mix",  # of residual streams
    "embedding",
    "head",
]


@dataclass(frozen=True, slots=True)
class Weight:
    """One matrix, or so many alike.

    name     within a layer, as published folders have it; "*" stands for an expert's number
    rows, columns   outputs and inputs
    copies   matrices of this kind in the layer: experts
    used     of them those that one token meets
    added    not multiplied with a token's row: gains, biases, tables
    """

    name: str
    rows: int
    columns: int
    role: Role
    copies: int = 1
    used: int = 1
    added: bool = False

    @property
    def num(self) -> int:
        return self.rows * self.columns * self.copies

    @property
    def num_used(self) -> int:
        """Of them those that one token meets."""
        return self.rows * self.columns * self.used

    @property
    def token_macs(self) -> int:
        """Multiply-adds of one token."""
        return 0 if self.added else self.num_used


def vector(name: str, size: int, role: Role = "norm") -> tuple[Weight, ...]:
    """Gains or a bias; none of size 0."""
    return (Weight(name, size, 1, role, added=True),) if size else ()


def matrix(name: str, rows: int, columns: int, role: Role) -> tuple[Weight, ...]:
    """A matrix that every token meets; none where it has no rows or columns."""
    return (Weight(name, rows, columns, role),) if rows and columns else ()


def numbers(weights: Iterable[Weight]) -> int:
    return sum(weight.num for weight in weights)


def numbers_used(weights: Iterable[Weight]) -> int:
    return sum(weight.num_used for weight in weights)
