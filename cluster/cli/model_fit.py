"""On which machines a described model fits, and how it lies on those that a user names."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from configs.fitting import rough
from configs.presets import preset_names
from configs.schema import DeviceSpec, load_device
from configs.schema.model import ModelSection
from configs.shapes.placement import Fit, Ranks, fit, least
from configs.shapes.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Asked:
    """device     preset whose memory chips and shards have; None: no placement is asked for
    tensor, pipeline, shards   degrees; None and 0: the fewest chips that do
    context    tokens of a sequence; None: the model's own
    """

    device: str | None = None
    tensor: int | None = None
    pipeline: int | None = None
    shards: int = 0
    context: int | None = None


def _memory(device: DeviceSpec) -> int:
    """What weights and KV may fill of it, by the default share."""
    share = ModelSection().gpu_memory_utilization
    return int(device.tiers[device.default_tier].capacity_bytes * share)


def fits_table(shape: ModelShape) -> Table:
    """As few of each device as hold the weights, spread evenly, and what is left for KV: whether a
    model has heads and layers for so many ranks, a placement says.
    """
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for title in ("device", "memory", "devices at least", "full contexts beside"):
        table.add_column(title, justify="left" if title == "device" else "right")
    rows = []
    whole = shape.kv_bytes(shape.max_context) + shape.state_bytes()
    for name in preset_names("device"):
        device = load_device(name)
        budget = _memory(device)
        count = -(-shape.stored_bytes // budget)
        room = count * budget - shape.stored_bytes
        capacity = device.tiers[device.default_tier].capacity_bytes
        beside = f"{room // whole:,}" if whole else "-"
        rows.append((count, device.name, rough(capacity), f"{count:,}", beside))
    for row in sorted(rows):
        table.add_row(*row[1:])
    return table


def placement(shape: ModelShape, asked: Asked) -> dict[str, Any]:
    """The same as numbers. Raises ValueError for degrees that cannot be."""
    ranks, context, found = _placed(shape, asked)
    return {
        "device": asked.device,
        "context": context,
        "ranks": asdict(ranks),
        **asdict(found.placed),
        "sequences": found.sequences,
        "problems": list(found.problems),
    }


def placed_lines(shape: ModelShape, asked: Asked) -> Text:
    """A placement in words."""
    ranks, context, found = _placed(shape, asked)
    placed, chips = found.placed, ranks.tensor * ranks.pipeline
    text = Text(f"on {asked.device}: ", style="bold")
    text.append(f"{chips:,} chip{_s(chips)} (tensor {ranks.tensor}, pipeline {ranks.pipeline})")
    text.append(f", {ranks.shards:,} shard{_s(ranks.shards)}\n" if ranks.shards else "\n")
    text.append(f"  a chip holds {rough(placed.chip_bytes)} of weights")
    text.append(f", a shard {rough(placed.shard_bytes)}\n" if ranks.shards else "\n")
    text.append(
        f"  a token leaves {placed.kv_token_bytes:,} B there; sequences of {context:,} tokens keep "
        f"{rough(placed.sequence_bytes)} each: {found.sequences:,} fit\n"
    )
    for problem in found.problems:
        text.append(f"  does not fit: {problem}\n", style="red")
    return text


def _placed(shape: ModelShape, asked: Asked) -> tuple[Ranks, int, Fit]:
    assert asked.device is not None
    memory = _memory(load_device(asked.device))
    context = asked.context or shape.max_context
    if asked.tensor is None and asked.pipeline is None and not asked.shards:
        ranks = least(shape, context, memory) or Ranks()
    else:
        ranks = Ranks(asked.tensor or 1, asked.pipeline or 1, asked.shards)
    return ranks, context, fit(shape, ranks, context, memory)


def _s(count: int) -> str:
    return "" if count == 1 else "s"
