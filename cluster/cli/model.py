"""`perfuse model`: what a model is and asks of machines, from sizes alone."""

import json
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cluster.cli.model_fit import Asked, fits_table, placed_lines, placement
from configs.fitting import rough
from configs.model_presets import ModelPreset, is_model_name, model_names, model_preset
from configs.shapes.describe import describe_model
from configs.shapes.running import Runs, runs
from configs.shapes.shape import ModelShape
from configs.shapes.told import storage_words

_BILLION = 1e9
KV_BYTES = {"bf16": 2, "fp8": 1, "fp32": 4}


def list_models() -> RenderableType:
    """All shipped descriptions, one a line."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for title in ("model", "parameters", "active", "KV a token", "stored"):
        table.add_column(title, justify="left" if title == "model" else "right")
    for name in model_names():
        shape = describe_model(name)
        table.add_row(
            name,
            f"{shape.parameters / _BILLION:,.2f} B",
            f"{shape.active / _BILLION:,.2f} B",
            f"{shape.kv_bytes_per_token():,} B",
            rough(shape.stored_bytes),
        )
    return table


def render_model(name: str, asked: Asked) -> RenderableType:
    """Raises CheckpointError for what is not described, ValueError for a name of nothing."""
    shape = describe_model(name)
    parts: list[RenderableType] = [_head(name, shape), _layers(shape), _told(name, shape)]
    parts.append(fits_table(shape) if asked.device is None else placed_lines(shape, asked))
    return Group(*parts)


def _head(name: str, shape: ModelShape) -> Text:
    text = Text()
    text.append(name, style="bold")
    text.append(f"   {shape.architecture}\n")
    mtp = f" · {shape.mtp_parameters / _BILLION:,.2f} B more for multi-token prediction"
    more = mtp if shape.mtp else ""
    _line(
        text,
        "parameters",
        f"{shape.parameters / _BILLION:,.2f} B · {shape.active / _BILLION:,.2f} B compute a token, "
        f"{shape.active_with_embedding / _BILLION:,.2f} B with the embedding{more}",
    )
    _line(text, "weights", f"{rough(shape.stored_bytes)} stored: {storage_words(shape)}")
    kv = " · ".join(
        f"{dtype} {shape.kv_bytes_per_token(size):,} B" for dtype, size in KV_BYTES.items()
    )
    _line(text, "KV a token", kv)
    whole = f"{shape.max_context:,} tokens {rough(shape.kv_bytes(shape.max_context))} in bf16"
    state = shape.state_bytes()
    _line(text, "a sequence", whole + (f" · state {rough(state)}" if state else ""))
    return text


def _line(text: Text, title: str, value: str) -> None:
    text.append(f"{title:<11}", style="dim")
    text.append(f"{value}\n")


def _layers(shape: ModelShape) -> Text:
    text = Text()
    for i, (count, kind) in enumerate(shape.kinds()):
        _line(text, "" if i else "layers", f"{count:>3} x {kind}")
    return text


def _told(name: str, shape: ModelShape) -> Text:
    """What can run it, and what the sizes leave out."""
    text, can = Text(), runs(name, shape.architecture)
    for title, reason in (("real", can.real), ("digest", can.digest)):
        _line(text, title, reason or "runs it")
    for i, note in enumerate(shape.notes):
        _line(text, "" if i else "left out", note)
    return text


def as_json(name: str, asked: Asked) -> dict[str, Any]:
    """The same as numbers: parameters as counts, sizes in bytes."""
    shape = describe_model(name)
    can = runs(name, shape.architecture)
    found: dict[str, Any] = {
        "name": name,
        "architecture": shape.architecture,
        "parameters": shape.parameters,
        "active": shape.active,
        "active_with_embedding": shape.active_with_embedding,
        "mtp_parameters": shape.mtp_parameters,
        "stored_bytes": shape.stored_bytes,
        "stored_as": storage_words(shape),
        "kv_bytes_per_token": {k: shape.kv_bytes_per_token(n) for k, n in KV_BYTES.items()},
        "max_context": shape.max_context,
        "kv_bytes_at_max_context": shape.kv_bytes(shape.max_context),
        "state_bytes": shape.state_bytes(),
        "num_layers": shape.num_layers,
        "layers": [{"count": count, "kind": kind} for count, kind in shape.kinds()],
        "num_experts": shape.num_experts,
        "top_k": shape.top_k,
        "runs": _as_runs(can),
        "notes": list(shape.notes),
    }
    if asked.device is not None:
        found["placement"] = placement(shape, asked)
    if is_model_name(name):
        found |= _as_published(model_preset(name))
    return found


def _as_runs(can: Runs) -> dict[str, str | None]:
    """null where it runs, else why not."""
    return {"real": can.real or None, "digest": can.digest or None}


def _as_published(preset: ModelPreset) -> dict[str, Any]:
    figures = [
        {"count": each.count, "value": each.value, "source": each.source}
        for each in preset.published
    ]
    return {"source": preset.source, "published": figures}


def write_json(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
