"""Models by their sizes: shipped descriptions beside published figures, published files planned.

Expected: every published figure of every shipped description to all of its digits, rounded; or cut
after them where the publisher does (405 B of Llama, of which a review has cut 405.8; 3.3 B of
Qwen3-30B, 40 B of GLM-5, 2.4 B of DeepSeek-V2-Lite, 7.61 B of Qwen2.5-7B). A count means the text
model, without layers for multi-token prediction; whether active ones count the embedding is each
publisher's choice. Of 97 published files at least 70 are described and placed on H200s, weights as
stored, KV in bf16; every other is refused by one line.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rows import Row
from configs.checkpoint_files import CheckpointError
from configs.model_presets import Published, model_names, model_preset
from configs.schema import load_device
from configs.shapes.counts import count_of
from configs.shapes.describe import describe_file, describe_model
from configs.shapes.placement import fit, least

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = Path(os.environ.get("PERFUSE_SHARED_DATA", _BESIDE)) / "model_configs"
ASKED, FILES = 70, 97
CONTEXT, DEVICE, SHARE = 8192, "h200-sxm", 0.9

_REVIEW = "configurations as published, reviewed"
_ISCA = "arXiv 2505.09343 (ISCA 2025), table 1"
# name -> total and active in billions, KV bytes a token in bf16. Active counts the embedding; the
# two of gpt-oss are OpenAI's own counts, without.
REVIEWED = {
    "deepseek-v3": ("671.0", "37.6", "70272"),
    "deepseek-r1": ("671.0", "37.6", "70272"),
    "kimi-k2": ("1026", "32.9", "70272"),
    "mixtral-8x7b": ("46.7", "12.9", "131072"),
    "qwen3-30b-a3b": ("30.5", "3.35", "98304"),
    "qwen3-235b-a22b": ("235.1", "22.2", "192512"),
    "olmoe-1b-7b": ("6.92", "1.28", "131072"),
    "gpt-oss-20b": ("20.9", "3.6", "49152"),
    "gpt-oss-120b": ("116.8", "5.1", "73728"),
    "llama-3.1-405b": ("405.8", None, "516096"),
    "llama-3.1-70b": ("70.55", None, "327680"),
}
_ISCA_BYTES = {"deepseek-v3": "70272", "qwen2.5-72b": "327680", "llama-3.1-405b": "516096"}


def rows() -> Iterator[Row]:
    yield from figures()
    yield from files()


def figures() -> Iterator[Row]:
    """A row for each shipped description that has a published figure, and one for all."""
    wrong = total = 0
    bare = []
    for name in model_names():
        known = published_of(name)
        if not known:
            bare.append(name)
            continue
        row = _figures_row(name, known)
        total += len(known)
        wrong += not row.holds
        yield row
    without = f"; without any: {', '.join(bare)}" if bare else ""
    yield Row(
        "shipped descriptions: published figures that agree to all of their digits",
        float(total) if not wrong else f"{wrong} descriptions do not",
        "figures",
        f"all {total}",
        not wrong,
        f"measured: {len(model_names())} files of configs/models{without}",
    )


def published_of(name: str) -> tuple[Published, ...]:
    """The publisher's own figures, then those of reviews."""
    found = list(model_preset(name).published)
    if name in REVIEWED:
        total, active, kv_bytes = REVIEWED[name]
        counted = "active" if name.startswith("gpt-oss") else "active_with_embedding"
        found.append(Published("parameters", total, _REVIEW))
        found += [Published(counted, active, _REVIEW)] if active else []
        found.append(Published("kv_bytes_per_token", kv_bytes, _REVIEW))
    if name in _ISCA_BYTES:
        found.append(Published("kv_bytes_per_token", _ISCA_BYTES[name], _ISCA))
    return tuple(dict.fromkeys(found))


def _figures_row(name: str, known: tuple[Published, ...]) -> Row:
    shape = describe_model(name)
    agreed = [(each, each.agrees(count_of(shape, each.count))) for each in known]
    found = (
        f"{shape.parameters / 1e9:.3f} B, {shape.active / 1e9:.3f} B a token "
        f"({shape.active_with_embedding / 1e9:.3f} with the embedding), "
        f"KV {shape.kv_bytes_per_token():,} B"
    )
    bars = [f"{each.count} {each.value}{' (cut)' if how == 'cut' else ''}" for each, how in agreed]
    sources = dict.fromkeys(each.source for each in known)
    return Row(
        name,
        found,
        "",
        "; ".join(bars),
        all(how is not None for _, how in agreed),
        f"measured: {'; '.join(sources)}",
    )


def files() -> Iterator[Row]:
    """A row for each published file, and one for all; one alone where they are not here."""
    paths = sorted(FOLDER.glob("*.json"))
    if not paths:
        yield Row(
            "published config.json files",
            "not here",
            "",
            "skipped where the files are not beside the repository",
            True,
            f"measured: {FOLDER} has none; PERFUSE_SHARED_DATA names another folder",
        )
        return
    found = [file_row(path) for path in paths]
    yield from found
    planned = sum(not str(row.value).startswith("refused") for row in found)
    yield Row(
        "published config.json files that are described and planned",
        float(planned),
        "files",
        f">= {ASKED} of {FILES}, every other refused by one line",
        planned >= ASKED and len(paths) == FILES and all(row.holds for row in found),
        f"measured: {FOLDER.parent.name}/{FOLDER.name}",
    )


def file_row(path: Path) -> Row:
    """What one file asks for and where it fits, or why it is refused."""
    bar = "planned, or refused in one line that names file and key"
    try:
        shape = describe_file(path)
    except CheckpointError as error:
        text = str(error)
        told = text.removeprefix(f"{path}: ")
        is_told = "\n" not in text and told != text
        return Row(path.stem, f"refused: {told}", "", bar, is_told, "measured: this file")
    device = load_device(DEVICE)
    memory = int(device.tiers[device.default_tier].capacity_bytes * SHARE)
    ranks = least(shape, CONTEXT, memory)
    if ranks is None:
        return Row(path.stem, "no placement", "", bar, False, "measured: this file")
    placed = fit(shape, ranks, CONTEXT, memory)
    value = (
        f"{shape.parameters / 1e9:.1f} B, {shape.active / 1e9:.1f} B a token, "
        f"KV {shape.kv_bytes_per_token():,} B, stored {shape.stored_bytes / 1e9:.0f} GB: "
        f"TP {ranks.tensor} x PP {ranks.pipeline}, {placed.placed.chip_bytes / 1e9:.1f} GB a chip, "
        f"{placed.sequences:,} sequences of {CONTEXT:,}"
    )
    unknown = f"; {shape.storage.unknown}" if shape.storage.unknown else ""
    evidence = f"measured: this file, {DEVICE}{unknown}"
    return Row(path.stem, value, "", bar, not placed.problems, evidence)
