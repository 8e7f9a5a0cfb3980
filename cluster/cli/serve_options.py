"""The options of `perfuse serve`, under vLLM's names where vLLM has them, and what they replace."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

import typer

from configs.outside import load_json

T = TypeVar("T")

_PANEL = "Keys of the scenario"

Scenario = Annotated[
    str | None,
    typer.Argument(
        help="a scenario file, or the name of a shipped one; left out, `server` with --model and "
        "`demo` without",
        show_default=False,
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Hugging Face folder, or perfuse-tiny", show_default=False)
]
Host = Annotated[
    str | None,
    typer.Option(
        help="address to listen on; left out, 127.0.0.1, and with --attach that of the gateway's "
        "machine",
        show_default=False,
    ),
]
Port = Annotated[int, typer.Option(help="port; 0 takes a free one")]
AllowedOrigins = Annotated[
    list[str] | None,
    typer.Option(
        help="web pages whose browsers may call (CORS): http://localhost:3000, or '*' for any; "
        "several times, or a JSON list",
        show_default=False,
    ),
]
AdminKey = Annotated[
    str,
    typer.Option(
        envvar="PERFUSE_ADMIN_KEY",
        help="asked of whoever changes what runs (/admin); left out, only this machine may, at a "
        "loopback address",
        show_default=False,
    ),
]
World = Annotated[
    str | None,
    typer.Option(
        help="process, local or ray; left out, the scenario's (local where that is virtual)",
        show_default=False,
    ),
]
Emulation = Annotated[
    bool | None,
    typer.Option(
        "--emulation/--no-emulation",
        help="emulate the scenario's hardware; off: as fast as this machine goes",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Dilation = Annotated[
    float | None,
    typer.Option(help="wall time per emulated time", show_default=False, rich_help_panel=_PANEL),
]
# Replaces the key that KEYS names; left out, the scenario's value stays.
Key = Annotated[T | None, typer.Option(show_default=False, rich_help_panel=_PANEL)]

KEYS = {
    "model": "model.path",
    "served_model_name": "model.served_name",
    "dtype": "model.dtype",
    "quantization": "model.quantization",
    "kv_cache_dtype": "model.kv_cache_dtype",
    "max_model_len": "model.max_model_len",
    "max_num_seqs": "model.max_num_seqs",
    "max_num_batched_tokens": "model.max_num_batched_tokens",
    "block_size": "model.block_size",
    "gpu_memory_utilization": "model.gpu_memory_utilization",
    "num_gpu_blocks_override": "model.num_kv_blocks",
    "enable_prefix_caching": "model.enable_prefix_caching",
    "seed": "seed",
    "world": "cluster.world",
    "emulation": "cluster.emulation",
    "dilation": "cluster.dilation",
}


def origins(given: Sequence[str]) -> tuple[str, ...]:
    """Each is an origin, or a JSON list of them as vLLM takes it. Raises ValueError."""
    found: list[str] = []
    for text in given:
        value = load_json(text) if text.lstrip().startswith("[") else [text]
        if not all(isinstance(origin, str) for origin in value):
            raise ValueError(f"--allowed-origins {text}: it must be a list of strings")
        found += value
    return tuple(found)


def changed_keys(set_keys: dict[str, object], **options: object) -> dict[str, object]:
    """The keys that `--set` and the options given replace; None is an option left out.

    Raises ValueError where both replace one key.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if KEYS[name] in set_keys:
            raise ValueError(
                f"--set {KEYS[name]}={set_keys[KEYS[name]]}: --{name.replace('_', '-')} replaces "
                "that key too: give one of them"
            )
    return set_keys | {KEYS[name]: value for name, value in given.items()}
