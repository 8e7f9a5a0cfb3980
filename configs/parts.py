"""Which part of a model a rank of a chip holds: some layers, some heads, perhaps the vocabulary.

A chip of `tensor` x `pipeline` ranks is that many nodes. Rank r is number r mod tensor of pipeline
stage r div tensor:

    tensor 2, pipeline 2          layers 0-1      layers 2-3
                    heads 0-1       rank 0          rank 2    leads: schedules and samples
                    heads 2-3       rank 1          rank 3

The first rank of the last stage leads, since what is sampled is known there first.
"""

from dataclasses import dataclass

from configs.heads import Heads, heads_of
from configs.model_config import ModelConfig
from configs.precision import Precision
from configs.stages import stages_of


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
    def slices(self) -> int:
        """Of a KV block's tokens it has one of so many parts."""
        return 1 if self.heads is None else self.heads.slices

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

    def sharers(self, rank: int) -> range:
        """Ranks that hold slices of the same keys, in order, itself among them."""
        slices = self.parts[rank].slices
        first = rank - rank % self.tensor % slices
        return range(first, first + slices)

    @property
    def is_split(self) -> bool:
        return len(self.names) > 1


def parts_of(
    config: ModelConfig,
    tensor: int,
    pipeline: int,
    layers: tuple[int, ...] = (),
    context: int = 1,
) -> tuple[Part, ...]:
    """What each rank holds, in order of the ranks. `layers` of each stage; left out: `stages_of`.
    `context`: slices of the tokens, where ranks hold the same keys.

    Raises ValueError, with the nearest that would do, where ranks would not hold alike, or layers
    are no stages of this model.
    """
    return tuple(
        Part(
            stage.start,
            len(stage),
            heads,
            embeds=stage.start == 0,
            projects=stage.stop == config.num_layers and number == 0,
        )
        for stage in stages_of(config.num_layers, pipeline, layers)
        for number, heads in enumerate(heads_of(config, tensor, context))
    )
