"""What a model asks of machines, drawn from its config.json alone.

DeepseekV3ForCausalLM   671.03 B parameters, 36.62 B of them for each token
weights 673 GB as fp8 (blocks of 128 x 128), computed in bf16
...
h200-sxm   141 GB   6 devices   8,100,000 tokens of KV
"""

import re

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cluster.text.tokenizer import open_tokenizer
from configs.checkpoint_files import JSON_BYTES_MAX, has_weights
from configs.families import load_model
from configs.fitting import rough
from configs.model_config import ModelConfig
from configs.outside import Unreadable, read_text
from configs.precision import Precision, stored
from configs.presets import model_folder, preset_names
from configs.schema import load_device
from configs.schema.model import ModelSection
from configs.sizing import DeviceFit, Sizes, fits_of, sizes_of
from workers.model.checkpoint import verify

_BILLION = 1e9
_SCENARIO = re.compile(r"\b(base|cluster|workload)\b[\"']?\s*:")


def is_model(name: str) -> bool:
    """Whether a name means a model's folder or its config.json, and no scenario, which may be JSON
    too: a broken config.json is told as one.
    """
    path = model_folder(name)
    if name in preset_names("scenario"):
        return False
    if path.suffix.lower() != ".json":
        return path.is_dir() and (path / "config.json").exists()
    if not path.is_file() or path.name.lower() == "config.json":
        return path.is_file()
    try:
        text = read_text(path, JSON_BYTES_MAX)
    except (OSError, Unreadable):
        return True
    return not _SCENARIO.search(text) or '"architectures"' in text or '"model_type"' in text


def render_model(name: str) -> RenderableType:
    """Raises CheckpointError for a model that is not computed. Weights are verified if there, and
    what reads text: a cluster would refuse it.
    """
    path = model_folder(name)
    config = load_model(path)
    holds = path.is_dir() and has_weights(path)
    if holds:
        verify(path, config)
    if path.is_dir():
        open_tokenizer(path, config.vocab)
    precision = stored(config)
    sizes = sizes_of(config, precision)
    share = ModelSection().gpu_memory_utilization
    devices = [load_device(device) for device in preset_names("device")]
    fits = fits_of(sizes, config, precision, devices, share)
    return Group(_head(config, precision, sizes), _table(config, fits), _notes(share, holds))


def _head(config: ModelConfig, precision: Precision, sizes: Sizes) -> Text:
    text = Text()
    text.append(config.architecture, style="bold")
    text.append(
        f"   {sizes.parameters / _BILLION:,.2f} B parameters, {sizes.active / _BILLION:,.2f} B of "
        "them compute a token\n"
    )
    text.append("weights ", style="dim")
    text.append(
        f"{rough(sizes.weight_bytes)} as {precision.label(config)}; one token alone reads "
        f"{rough(sizes.token_bytes)} of them\n"
    )
    text.append("KV ", style="dim")
    context = sizes.kv_token_bytes * config.max_context
    text.append(
        f"{sizes.kv_token_bytes:,} B a token in {precision.kv} · a sequence of all "
        f"{config.max_context:,} tokens {rough(context)}\n"
    )
    dense = f", {config.dense_layers} of them dense" if config.dense_layers else ""
    text.append("layers ", style="dim")
    text.append(
        f"{config.num_layers}{dense} · {config.num_experts} experts, {config.top_k} for each token"
    )
    return text


def _table(config: ModelConfig, fits: tuple[DeviceFit, ...]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for title in ("device", "memory", "devices at least", "KV tokens beside", "full contexts"):
        table.add_column(title, justify="left" if title == "device" else "right")
    for fit in sorted(fits, key=lambda fit: (fit.lacks is not None, fit.num_devices)):
        capacity = fit.device.tiers[fit.device.default_tier].capacity_bytes
        row = [fit.device.name, rough(capacity)]
        if fit.lacks is None:
            row += [f"{fit.num_devices:,}", f"{fit.kv_tokens:,}"]
            row.append(f"{fit.kv_tokens // config.max_context:,}")
        else:
            row.append(f"no {fit.lacks}")
        table.add_row(*row)
    return table


def _notes(share: float, holds: bool) -> Text:
    weights = (
        "" if holds else " There are no weights here: run and serve need them and a tokenizer."
    )
    return Text(
        f"As many devices as hold the weights in {share:.0%} of their memory, spread evenly, and "
        f"what is left for KV: a projection, not a cluster.{weights}",
        style="dim",
    )
