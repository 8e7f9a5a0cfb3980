"""DeepSeek-shaped models in bf16 through whole clusters: the tokens of one process in bf16."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.process import process_world
from cluster.worlds.virtual import VirtualWorld
from configs.perfuse_tiny import MODEL_DIR
from configs.precision import Precision
from tests.cluster.worlds.cluster import ask_all, blueprint, prompt, request, run, settle
from tests.cluster.worlds.test_process import assert_lets_go, drawn, streamed, texts
from tests.workers.model.models import KERNEL_V2, KERNEL_V3, write_model
from workers.host.trace import Delivered
from workers.model.numerics import numerics_of
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

LARGER: dict[str, Any] = {"vocab_size": 512, "max_position_embeddings": 1024}


@pytest.fixture(scope="module", params=[KERNEL_V2, KERNEL_V3], ids=["V2", "V3"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with perfuse-tiny's tokenizer."""
    folder = write_model(tmp_path_factory.mktemp("speed"), sizes=request.param | LARGER)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(MODEL_DIR / name, folder / name)
    return folder


@pytest.mark.parametrize("kv", ["bf16", "int8"])
def test_kv_goes_from_chip_to_chip(folder: Path, kv: Any) -> None:
    """Prompts in chunks, prefill and decode on different chips, a KV pool; one expert shard, since
    sums of several are rounded apart.
    """
    sizes = [(20 + 31 * i, 6 + i) for i in range(5)]
    plan = blueprint(
        {
            "model.path": str(folder),
            "model.served_name": "perfuse-tiny",
            "model.dtype": "bf16",
            "model.kv_cache_dtype": kv,
            "model.max_num_batched_tokens": 48,
            "model.max_num_seqs": 8,
            "cluster.nodes.experts.count": 1,
        }
    )

    async def job(world: VirtualWorld) -> list[list[int]]:
        wanted = [
            request(f"r{i}", prompt_ids=prompt(i, length), max_tokens=count)
            for i, (length, count) in enumerate(sizes)
        ]
        heard = await ask_all(world, wanted, apart_ns=40_000)
        await settle(world)
        kinds = {r.kind for r in world.trace.records if isinstance(r, Delivered)}
        assert {"kv_blocks", "dispatch"} <= kinds
        return [one.tokens for one in heard]

    precision = Precision("bf16", kv)
    wire = numerics_of(precision, plan.model.hidden)
    alone = Reference(folder, precision=precision, wire=wire)
    expected = [
        list(alone.generate(prompt(i, n), SamplingParams(max_tokens=m, ignore_eos=True)).token_ids)
        for i, (n, m) in enumerate(sizes)
    ]
    assert run(plan, job) == expected


@pytest.mark.live
@pytest.mark.timeout(120)
def test_a_server_in_one_process(folder: Path) -> None:
    """Whole steps, over HTTP, nothing emulated."""
    changes = {
        "model.path": str(folder),
        "model.served_name": "perfuse-tiny",
        "model.dtype": "bf16",
        "model.max_num_batched_tokens": 64,
        "model.num_kv_blocks": 256,
    }
    sizes = [(10 + 17 * i, 8 + 5 * (i % 4)) for i in range(6)]
    with process_world(drawn(changes)) as world:
        url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        alone = Reference(folder, precision=Precision("bf16", "bf16"))
        assert asyncio.run(streamed(url, sizes)) == texts(world, alone, sizes)
        assert_lets_go(world)
        assert not any(world.ask_all("failures").values())
