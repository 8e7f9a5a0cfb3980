"""Which heads a tensor-parallel rank holds, and into how many parts a model's can be cut.

Each rank computes as many query heads as any other, and holds the KV heads that these look at:

    8 query heads, 4 KV heads    4 ranks  │ 0 1 │ 2 3 │ 4 5 │ 6 7 │    of KV heads 0, 1, 2, 3
                                 8 ranks  │ 0 │ 1 │ 2 │ 3 │ 4 │ ...    of KV heads 0, 0, 1, 1, 2

Where there are more ranks than KV heads, several hold the same ones, as in vLLM and TensorRT-LLM;
a latent (MLA) is one KV head in that, which every rank holds. With decode context parallelism they
hold slices of its tokens instead (`configs/slices.py`). What a network beside the experts has
inside is cut into as many parts as there are ranks.
"""

from dataclasses import dataclass

from configs.model_config import ModelConfig


@dataclass(frozen=True, slots=True)
class Heads:
    """KV heads first .. first + count - 1, and the query heads that look at them; or, where
    several ranks hold these KV heads, part `copy` of `copies` equal parts of those query heads.

    slices   of such ranks, so many in a row hold a slice of the tokens each; 1: all tokens
    """

    first: int
    count: int
    copy: int = 0
    copies: int = 1
    slices: int = 1

    def queries(self, config: ModelConfig) -> range:
        """Its query heads, by their numbers in the model."""
        each = config.num_heads // config.num_kv_units
        share = self.count * each // self.copies
        first = self.first * each + self.copy * share
        return range(first, first + share)

    def part_of(self, config: ModelConfig) -> ModelConfig:
        """The sizes of a model that has these heads alone: so declared work, KV blocks and weights
        of a rank are counted from what it holds.

        Raises ValueError where the model has no such heads.
        """
        most = config.num_kv_units
        if not 0 <= self.first < self.first + self.count <= most:
            raise ValueError(
                f"KV heads {self.first} to {self.first + self.count - 1} are asked for; the model "
                f"has 0 to {most - 1}"
            )
        return config.with_heads(len(self.queries(config)), self.count)

    def common(self, other: "Heads") -> "Heads":
        """KV heads in both; none of a count of 0 or less."""
        first = max(self.first, other.first)
        return Heads(first, min(self.first + self.count, other.first + other.count) - first)

    @property
    def twins(self) -> int:
        """Ranks that hold the same of these heads: the same tokens, where they hold slices."""
        return self.copies // self.slices

    @property
    def twin(self) -> int:
        """Which of them this is."""
        return self.copy // self.slices


def heads_of(config: ModelConfig, tensor: int, context: int = 1) -> tuple[Heads | None, ...]:
    """Of each rank of a stage; None: all. `context` of the ranks that share KV heads hold slices of
    the tokens. Raises ValueError, with the nearest degree that would do, where ranks would not hold
    alike.
    """
    if reason := _context_hindrance(config, tensor, context):
        raise ValueError(f"decode_context_parallel_size: is {context}, {reason}")
    if tensor == 1:
        return (None,)
    if reason := _hindrance(config, tensor):
        fitting = [n for n in range(1, config.num_heads + 1) if not _hindrance(config, n)]
        nearest = min(fitting, key=lambda n: (abs(n - tensor), n))
        raise ValueError(
            f"tensor_parallel_size: is {tensor}, which {reason}: the nearest that does is {nearest}"
        )
    units = config.num_kv_units
    if tensor <= units:
        count = units // tensor
        return tuple(Heads(number * count, count) for number in range(tensor))
    copies = tensor // units
    shared = copies, context
    return tuple(Heads(number // copies, 1, number % copies, *shared) for number in range(tensor))


def _context_hindrance(config: ModelConfig, tensor: int, context: int) -> str:
    """What keeps ranks that hold the same KV heads from holding slices of the tokens."""
    copies = max(1, tensor // config.num_kv_units)
    if copies % context == 0:
        return ""
    fitting = [n for n in range(1, copies + 1) if copies % n == 0]
    nearest = min(fitting, key=lambda n: (abs(n - context), n))
    held = "latent" if config.mla is not None else f"{config.num_kv_units} KV heads"
    return (
        f"and with tensor_parallel_size {tensor} each of the model's {held} is held by {copies} "
        f"rank{'' if copies == 1 else 's'}: it must divide that; the nearest that does is {nearest}"
    )


def _hindrance(config: ModelConfig, tensor: int) -> str:
    """What keeps the ranks from holding alike; empty where nothing does."""
    if config.num_heads % tensor:
        return f"does not divide the model's {config.num_heads} query heads"
    units = config.num_kv_units
    if units % tensor and tensor % units:
        return f"neither divides the model's {units} KV heads nor is divided by them"
    for inner in (config.dense_intermediate, config.shared_intermediate):
        if inner % tensor:
            return f"does not divide the inner width {inner} of the model's network beside experts"
    if config.state_parts % tensor:
        return f"does not divide the {config.state_parts} parts into which its states' heads come"
    return ""
