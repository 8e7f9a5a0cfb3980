"""Which part of a model a rank of a chip holds: some layers, some heads, perhaps the vocabulary.

A chip of `tensor` x `pipeline` ranks is that many nodes. Rank r is number r mod tensor of pipeline
stage r div tensor:

    tensor 2, pipeline 2          layers 0-1      layers 2-3
                    heads 0-1       rank 0          rank 2    leads: schedules and samples
                    heads 2-3       rank 1          rank 3

The first rank of the last stage leads, since what is sampled is known there first.
"""

from dataclasses import dataclass, replace

from configs.model_config import ModelConfig
from configs.precision import Precision
from configs.stages import stages_of


@dataclass(frozen=True, slots=True)
class Heads:
    """KV heads first .. first + count - 1, and the query heads that look at them."""

    first: int
    count: int

    def part_of(self, config: ModelConfig) -> ModelConfig:
        """The sizes of a model that has these heads alone: so declared work, KV blocks and weights
        of a rank are counted from what it holds.

        Raises ValueError where the model has no such heads, or more than attention would be split.
        """
        if hindrance := heads_hindrance(config):
            raise ValueError(hindrance)
        if not 0 <= self.first < self.first + self.count <= config.num_kv_heads:
            raise ValueError(
                f"KV heads {self.first} to {self.first + self.count - 1} are asked for; the model "
                f"has 0 to {config.num_kv_heads - 1}"
            )
        num_heads = self.count * (config.num_heads // config.num_kv_heads)
        return replace(config, num_heads=num_heads, num_kv_heads=self.count)

    def common(self, other: "Heads") -> "Heads":
        """Those in both; none of a count of 0 or less."""
        first = max(self.first, other.first)
        return Heads(first, min(self.first + self.count, other.first + other.count) - first)


def heads_hindrance(config: ModelConfig) -> str | None:
    """Why a model is not split by heads; None where it can be."""
    if config.mla is None and not config.dense_layers and not config.shared_intermediate:
        return None
    return (
        f"{config.architecture} is not split by heads: only models with grouped-query "
        "attention and no network beside their experts are"
    )


@dataclass(frozen=True, slots=True)
class Part:
    """What one rank holds.

    first_layer, num_layers   layers of its pipeline stage
    heads        of each of them; None: all
    embeds       the embedding: it stands in the first stage
    projects     final norm and vocabulary projection: it leads
    """

    first_layer: int
    num_layers: int
    heads: Heads | None = None
    embeds: bool = True
    projects: bool = True

    @property
    def layers(self) -> range:
        return range(self.first_layer, self.first_layer + self.num_layers)

    def common(self, other: "Part") -> "Part | None":
        """Layers and heads that both hold; None where there are none."""
        first = max(self.first_layer, other.first_layer)
        count = min(self.layers.stop, other.layers.stop) - first
        heads = self.heads or other.heads
        if self.heads is not None and other.heads is not None:
            heads = self.heads.common(other.heads)
        if count <= 0 or (heads is not None and heads.count <= 0):
            return None
        return Part(first, count, heads, embeds=False, projects=False)

    def window_of(self, part: "Part") -> tuple[slice, slice]:
        """Where layers and heads of a part lie within this one, which holds them."""
        first = part.first_layer - self.first_layer
        layers = slice(first, first + part.num_layers)
        if part.heads is None:
            return layers, slice(None)
        head = part.heads.first - (0 if self.heads is None else self.heads.first)
        return layers, slice(head, head + part.heads.count)

    def of(self, config: ModelConfig) -> ModelConfig:
        """The sizes of a model that has this part alone. Raises ValueError as `Heads.part_of`."""
        config = config if self.heads is None else self.heads.part_of(config)
        return config if self.num_layers == config.num_layers else config.with_layers(self.layers)

    def embeddings_bytes(self, config: ModelConfig, precision: Precision) -> int:
        """Of embedding and vocabulary projection, those that are here."""
        both, head = precision.embeddings_bytes(config), precision.head_bytes(config)
        if self.embeds and self.projects:
            return both
        if self.projects:
            return head
        # A tied embedding is the projection; else it is what both have beside that.
        return (both - head or head) if self.embeds else 0


@dataclass(frozen=True, slots=True)
class Ranks:
    """The ranks of one chip, in order. Of one rank, it is the chip.

    names   their workers        parts   what each holds
    """

    tensor: int
    names: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def num_stages(self) -> int:
        return len(self.names) // self.tensor

    @property
    def leader(self) -> int:
        """The first rank of the last stage."""
        return len(self.names) - self.tensor

    def stage(self, rank: int) -> int:
        return rank // self.tensor

    def peers(self, rank: int) -> range:
        """Ranks of the same stage, itself among them."""
        first = self.stage(rank) * self.tensor
        return range(first, first + self.tensor)

    @property
    def is_split(self) -> bool:
        return len(self.names) > 1


def parts_of(
    config: ModelConfig, tensor: int, pipeline: int, layers: tuple[int, ...] = ()
) -> tuple[Part, ...]:
    """What each rank holds, in order of the ranks. `layers` of each stage; left out: `stages_of`.

    Raises ValueError, with the nearest that would do, where a degree does not divide the heads,
    layers are no stages of this model, or the model is not split so.
    """
    if tensor > 1 and (hindrance := heads_hindrance(config)):
        raise ValueError(f"tensor_parallel_size: is {tensor}, and {hindrance}: use 1")
    _check("tensor_parallel_size", tensor, config.num_kv_heads, "KV heads")
    heads = config.num_kv_heads // tensor
    return tuple(
        Part(
            stage.start,
            len(stage),
            Heads(number * heads, heads) if tensor > 1 else None,
            embeds=stage.start == 0,
            projects=stage.stop == config.num_layers and number == 0,
        )
        for stage in stages_of(config.num_layers, pipeline, layers)
        for number in range(tensor)
    )


def _check(key: str, degree: int, count: int, what: str) -> None:
    if count % degree == 0:
        return
    fitting = [n for n in range(1, count + 1) if count % n == 0]
    nearest = min(fitting, key=lambda n: (abs(n - degree), n))
    raise ValueError(
        f"{key}: is {degree}, which does not divide the model's {count} {what}: the nearest that "
        f"does is {nearest}"
    )
