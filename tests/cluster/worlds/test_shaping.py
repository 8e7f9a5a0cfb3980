"""Requests that shape their logits get the reference's tokens, wherever they are computed."""

import asyncio
import json
from collections.abc import Mapping

import jsonschema
import pytest

from cluster.text.vocabulary import open_grammars
from tests.cluster.worlds.cluster import ask, blueprint, prompt, request, run
from tests.cluster.worlds.pressure import FEW, PLACES, preempted
from workers.host.rng import Rng
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams
from workers.model.shaping import Constraint, Shaping

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "n": {"type": "integer", "minimum": 0, "maximum": 99},
        "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 3},
    },
    "required": ["name", "n", "tags"],
    "additionalProperties": False,
}
JSON = Constraint("json_schema", json.dumps(SCHEMA))
SHAPINGS = (
    Shaping(JSON),
    Shaping(JSON, ((5, 3.0),), 1.0, 0.5, 1.2),
    Shaping(None, ((9, 20.0),), 1.5, 1.5),
    Shaping(None, (), 0.0, -1.0, 1.5),
    None,
)
WANTED = [
    SamplingParams(max_tokens=50, temperature=t, seed=i, shaping=shaping, logprobs=2)
    for i, (t, shaping) in enumerate((t, shaping) for t in (0.0, 1.0) for shaping in SHAPINGS)
]


def expected(number: int) -> tuple[list[int], list[float | None]]:
    plan = blueprint()
    rng, params = Rng(plan.scenario.seed), WANTED[number]
    reference = Reference(plan.folder, grammars=open_grammars(plan.folder))
    answer = reference.generate(
        prompt(number), params, uniform=lambda i: rng.uniform("sample", params.seed, i)
    )
    return list(answer.token_ids), [choice.logprob for choice in answer.choices]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("pressure", [False, True], ids=["room", "pressure"])
def test_tokens_are_the_reference_s(place: str, pressure: bool) -> None:
    """Prefill here and decode there; all in one place; preempted and computed again."""
    changes: Mapping[str, object] = {**(FEW if pressure else {}), **PLACES[place]}

    async def job(world):
        asked = [
            ask(world, request(f"r{i}", prompt_ids=prompt(i), **fields(params)))
            for i, params in enumerate(WANTED)
        ]
        return await asyncio.gather(*asked), len(preempted(world))

    heard, num_preempted = run(blueprint(changes), job, through_frames=True)
    assert bool(num_preempted) == pressure
    for number, one in enumerate(heard):
        tokens, logprobs = expected(number)
        assert one.tokens == tokens, number
        assert [p.logprob for output in one.outputs for p in output.logprobs] == logprobs
        shaping = WANTED[number].shaping
        if shaping is not None and shaping.constraint and one.last.finish_reason == "stop":
            jsonschema.validate(json.loads(one.text), SCHEMA)


def fields(params: SamplingParams) -> dict:
    names = ("max_tokens", "temperature", "seed", "shaping", "logprobs", "ignore_eos")
    return {name: getattr(params, name) for name in names}


@pytest.mark.parametrize(
    ("shaping", "named"),
    [
        (Shaping(None, ((512, 1.0),)), "512"),
        (Shaping(Constraint("json_schema", '{"not": {}}')), '"not"'),
    ],
)
def test_what_cannot_be_done_ends_with_its_reason(shaping: Shaping, named: str) -> None:
    """Also where no gateway compiled it first; others go on."""

    async def job(world):
        bad = await ask(world, request("bad", shaping=shaping))
        return bad, await ask(world, request("good"))

    bad, good = run(blueprint(), job)
    assert bad.code == "invalid_request_error"
    told = bad.error.message if bad.error else str(bad.outputs[-1].error)
    assert named in told
    assert len(good.tokens) == 8
