"""`perfuse generate FOLDER --ids FILE`: token ids and logits, in one process or through a
cluster.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.api.request import Request
from cluster.cli.console import console
from cluster.workload.build import TimedRequest, Workload
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from configs.outside import MIB, Unreadable, load_json, read_text, shown
from configs.schema import load_scenario
from workers.errors import from_body
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

Generated = tuple[list[int], NDArray[np.float32]]
# Prompts in flight at once through a cluster: enough that they meet in batches.
CONCURRENCY = 8
IDS_BYTES_MAX = 256 * MIB
ID_MAX = (1 << 31) - 1


def generate_ids(
    folder: Path,
    ids_file: Path,
    max_tokens: int,
    logits_file: Path | None,
    shards: int | None,
    scenario: str | None,
    ignore_eos: bool,
    out: Path | None,
) -> None:
    """Generate greedily for every prompt in `ids_file`.

    Prints a list of token ids, or a list of lists where there are several prompts. Logits are
    [tokens, V] for one prompt; for several [prompts, most tokens, V], filled up with NaN.
    """
    prompts = read_prompts(ids_file)
    for path in (logits_file, out):  # now: all would be computed before it could not be written
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    params = SamplingParams(
        max_tokens=max_tokens, ignore_eos=ignore_eos, return_logits=logits_file is not None
    )
    if shards is None and scenario is None:
        results = _alone(folder, prompts, params)
    else:
        results = _through_cluster(folder, prompts, params, shards, scenario)
    ids = [tokens for tokens, _ in results]
    text = json.dumps(ids[0] if len(ids) == 1 else ids)
    if out is not None:
        out.write_text(text + "\n")
    else:
        console.print(text, soft_wrap=True, highlight=False)
    if logits_file is not None:
        rows = [logits for _, logits in results]
        with logits_file.open("wb") as file:
            np.save(file, rows[0] if len(rows) == 1 else _padded(rows))


def read_prompts(path: Path) -> list[list[int]]:
    """JSON ([1, 2] or [[1, 2], [3]]), or lines of numbers; one prompt a line. Raises ValueError."""
    text = read_text(path, IDS_BYTES_MAX)
    try:
        value: Any = load_json(text) if text.lstrip()[:1] in ("[", "{") else _numbers(path, text)
    except Unreadable as error:
        raise Unreadable(f"{path}: {error}") from error
    is_many = isinstance(value, list) and value and isinstance(value[0], list)
    prompts: list[Any] = value if is_many else [value]
    if not all(
        isinstance(p, list) and p and all(type(i) is int and 0 <= i <= ID_MAX for i in p)
        for p in prompts
    ):
        raise ValueError(
            f"{path}: every prompt must be a non-empty list of token ids, from 0 to {ID_MAX}"
        )
    return prompts


def _numbers(path: Path, text: str) -> list[list[int]]:
    """Lines of numbers, one prompt a line."""
    lines = [line.replace(",", " ").split() for line in text.splitlines() if line.strip()]
    wrong = next((w for line in lines for w in line if len(w) > 10 or not w.isdecimal()), None)
    if wrong is not None:
        raise ValueError(
            f"{path}: {shown(wrong)} is no token id: it must hold token ids, as JSON or as "
            "numbers, one prompt a line"
        )
    return [[int(word) for word in line] for line in lines]


def _padded(rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    most = max(len(logits) for logits in rows)
    whole = np.full((len(rows), most, rows[0].shape[1]), np.nan, dtype=np.float32)
    for index, logits in enumerate(rows):
        whole[index, : len(logits)] = logits
    return whole


def _alone(folder: Path, prompts: list[list[int]], params: SamplingParams) -> list[Generated]:
    reference = Reference(folder)
    results = [reference.generate(ids, params, params.return_logits) for ids in prompts]
    return [(list(r.token_ids), r.logits) for r in results]


def _through_cluster(
    folder: Path,
    prompts: list[list[int]],
    params: SamplingParams,
    shards: int | None,
    scenario: str | None,
) -> list[Generated]:
    """The scenario's cluster (the demo's where none is named) around this checkpoint."""
    from cluster.runs.run import run_in_virtual, run_live

    changes: dict[str, object] = {"model.path": str(folder), "model.served_name": "generated"}
    if scenario is None:
        # The demo's collection belongs to another model, and its questions are not asked here.
        changes |= {
            "placement.collections": None,
            "workload.prompts": {"questions": {"retrieval": None}},
        }
    if shards is not None:
        changes["cluster.nodes.experts.count"] = shards
    blueprint = Blueprint.draw(load_scenario(scenario or "demo", changes))
    requests = tuple(
        TimedRequest(0, Request(f"prompt-{i}", "generated", params, prompt_ids=tuple(ids)))
        for i, ids in enumerate(prompts)
    )
    workload = Workload(requests, concurrency=CONCURRENCY)
    if blueprint.scenario.cluster.world == "virtual":
        answers = run_in_virtual(blueprint, workload, _ignore).answers
    else:
        answers = run_live(blueprint, workload, _ignore, _ignore).answers
    return [_generated(answer, blueprint.model.vocab) for answer in answers]


def _ignore(_: object) -> None:
    """Nobody watches."""


def _generated(answer: Answer, vocab: int) -> Generated:
    if answer.error is not None:
        raise from_body(dict(answer.error))
    rows = np.concatenate(answer.logits) if answer.logits else np.empty((0, vocab), np.float32)
    return answer.token_ids, rows
