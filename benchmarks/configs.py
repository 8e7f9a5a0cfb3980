"""Published config.json files: which are accepted and what they ask for, and why others are not.

    python -m benchmarks.configs [--folder DIR] [--json FILE]

Every file is planned or refused in one line. What is planned is held beside what its publisher
states: parameters, those that compute a token, and bytes of KV.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rows import UNAVAILABLE, Row, arguments, report
from configs.checkpoint_files import CheckpointError
from configs.families import load_model
from configs.fitting import rough
from configs.precision import stored
from configs.sizing import Sizes, sizes_of

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDER = Path(os.environ.get("PERFUSE_SHARED_DATA", _BESIDE)) / "model_configs"
BILLION = 1e9
SHARE = 0.025  # of a published figure, which is rounded


@dataclass(frozen=True)
class Published:
    """parameters, active   in billions; Qwen counts the embedding among the active ones, the others
                         do not
    kv_bytes                a token, in bf16: layers x (2 x KV heads x head, or latent + rope) x 2 B
    is_fp8                  the weights
    source                  of the two first figures
    """

    parameters: float
    active: float
    kv_bytes: int
    is_fp8: bool
    source: str

    @property
    def counts_embedding(self) -> bool:
        return self.source == _QWEN


_V3 = "arXiv 2412.19437, abstract; KV: arXiv 2505.09343, table 1 (70.272 KB)"
_QWEN = "huggingface.co/Qwen, model card"
_V3_FP8 = Published(671, 37, 61 * (512 + 64) * 2, True, _V3)
_QWEN_30 = Published(30.5, 3.3, 48 * 2 * 4 * 128 * 2, False, _QWEN)
_QWEN_30_FP8 = Published(30.5, 3.3, 48 * 2 * 4 * 128 * 2, True, _QWEN)
_QWEN_235 = Published(235, 22, 94 * 2 * 4 * 128 * 2, False, _QWEN)
_QWEN_235_FP8 = Published(235, 22, 94 * 2 * 4 * 128 * 2, True, _QWEN)
# What must be accepted; all else must be refused.
ACCEPTED = {
    "Qwen--Qwen3-30B-A3B": _QWEN_30,
    "Qwen--Qwen3-30B-A3B-Instruct-2507": _QWEN_30,
    "Qwen--Qwen3-30B-A3B-FP8": _QWEN_30_FP8,
    "Qwen--Qwen3-235B-A22B": _QWEN_235,
    "Qwen--Qwen3-235B-A22B-FP8": _QWEN_235_FP8,
    "infersim--qwen3-235B-A22B": _QWEN_235,
    "Qwen--Qwen3-Coder-480B-A35B-Instruct": Published(480, 35, 62 * 2 * 8 * 128 * 2, False, _QWEN),
    "blis--deepseek-v2-lite": Published(
        15.7, 2.4, 27 * (512 + 64) * 2, False, "huggingface.co/deepseek-ai/DeepSeek-V2"
    ),
    "deepseek-ai--DeepSeek-V3": _V3_FP8,
    "deepseek-ai--DeepSeek-R1": _V3_FP8,
    "infersim--deepseek_v3": _V3_FP8,
    # The report's 1.04 T; its sizes give 1.026.
    "moonshotai--Kimi-K2-Instruct": Published(
        1040, 32, 61 * (512 + 64) * 2, True, "arXiv 2507.20534, table 2"
    ),
}


def row_of(path: Path) -> Row:
    """Whether one file is treated as it must be, and what was made of it."""
    published = ACCEPTED.get(path.stem)
    bar = "refused in one line" if published is None else _bar(published)
    evidence = "measured: this file" if published is None else f"measured: {published.source}"
    try:
        config = load_model(path)
    except CheckpointError as error:
        text = str(error)
        told = text.removeprefix(f"{path}: ")
        holds = published is None and "\n" not in text and told != text
        return Row(path.stem, f"refused: {told}", "", bar, holds, evidence)
    precision = stored(config)
    sizes = sizes_of(config, precision)
    active = sizes.active
    if published is not None and published.counts_embedding and not config.tie_embeddings:
        active += config.head_bytes(1)
    value = (
        f"{sizes.parameters / BILLION:.2f} B, {active / BILLION:.2f} B a token, "
        f"KV {sizes.kv_token_bytes:,} B, {rough(sizes.weight_bytes)} as {precision.label(config)}"
    )
    holds = published is not None and _fits(sizes, active, published)
    if published is not None:
        holds = holds and (config.fp8 is not None) == published.is_fp8
    return Row(path.stem, value, "", bar, holds, evidence)


def _bar(published: Published) -> str:
    kind = "fp8" if published.is_fp8 else "bf16"
    return (
        f"{published.parameters:g} B, {published.active:g} B a token, KV {published.kv_bytes:,} B, "
        f"{kind}"
    )


def _fits(sizes: Sizes, active: int, published: Published) -> bool:
    pairs = ((sizes.parameters, published.parameters), (active, published.active))
    near = all(abs(found / BILLION / stated - 1) <= SHARE for found, stated in pairs)
    return near and sizes.kv_token_bytes == published.kv_bytes


def main() -> int:
    parser = arguments("Accept or refuse published model configurations.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="config.json files, *.json")
    options = parser.parse_args()
    paths = sorted(options.folder.glob("*.json"))
    if not paths:
        print(f"{options.folder}: has no *.json; name a folder of config.json files by --folder")
        return UNAVAILABLE
    missing = sorted(set(ACCEPTED) - {path.stem for path in paths})
    rows = [row_of(path) for path in paths]
    wrong = sum(not row.holds for row in rows)
    rows.append(
        Row(
            "files treated as they must be",
            float(len(rows) - wrong),
            "files",
            f"all {len(paths)}, {len(ACCEPTED)} of them accepted",
            not wrong and not missing,
            f"measured: {options.folder}" + (f", without {', '.join(missing)}" if missing else ""),
        )
    )
    return report(rows, options.json, "Published model configurations")


if __name__ == "__main__":
    sys.exit(main())
