"""What trials stand on, made once for all alike: blueprints, and answers by the reference."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cluster.api.request import Request
from cluster.chaos.trial import Ask, Trial
from cluster.worlds.blueprint import Blueprint
from configs.presets import TINY_MODEL
from configs.schema import load_scenario
from workers.host.rng import Rng
from workers.model.digest.reference import DigestReference, reference_of
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

STAGES_MAX = 64
# An answer that is asked for again, and longer, is computed so long: it is wanted more often.
TOKENS_AHEAD = 20
# Every scenario file names a workload; a trial's requests are its own.
WORKLOAD = {
    "arrivals": {"closed": {"concurrency": 1, "num_requests": 1}},
    "prompts": {"synthetic": {"input_length": {"fixed": 1}, "output_length": {"fixed": 1}}},
}


# (prompt, temperature) -> tokens.
Answers = dict[tuple[tuple[int, int, int], float], tuple[int, ...]]


class Stage:
    """One scenario: its blueprint, and what it must answer."""

    def __init__(self, blueprint: Blueprint, answers: Answers | None = None) -> None:
        """answers   of the same model and seed, by their prompts; it adds to them"""
        self.blueprint, self._answers = blueprint, {} if answers is None else answers
        scenario = blueprint.scenario
        self._rng = Rng(scenario.seed)
        self._digest: DigestReference | None = None
        self._real: Reference | None = None
        if scenario.model.numerics == "digest":
            span, routing = blueprint.plan.span_tokens, scenario.model.routing
            self._digest = reference_of(blueprint.model, span, scenario.seed, routing)
        else:
            self._real = Reference(blueprint.folder, scenario.model.block_size)

    def request(self, ask: Ask) -> Request:
        ids = ask.prompt_ids(self.blueprint.model.vocab)
        name = self.blueprint.scenario.model.name
        return Request(ask.name, name, self._sampling(ask, ask.max_tokens), prompt_ids=ids)

    def _sampling(self, ask: Ask, max_tokens: int) -> SamplingParams:
        seed = ask.prompt[0] if ask.temperature else 0
        return SamplingParams(
            max_tokens=max_tokens, temperature=ask.temperature, seed=seed, ignore_eos=True
        )

    def right(self, ask: Ask) -> tuple[int, ...]:
        """Its whole answer: longer ones begin as shorter ones do."""
        key = ask.prompt, ask.temperature
        known = self._answers.get(key, ())
        if len(known) < ask.max_tokens:
            length = max(ask.max_tokens, TOKENS_AHEAD) if known else ask.max_tokens
            known = self._answers[key] = self._answer(ask, length)
        return known[: ask.max_tokens]

    def _answer(self, ask: Ask, length: int) -> tuple[int, ...]:
        ids = ask.prompt_ids(self.blueprint.model.vocab)
        params = self._sampling(ask, length)
        uniform = self._uniform(params.seed)
        if self._digest is not None:
            return self._digest.answer(ids, params, (), uniform)
        assert self._real is not None
        chance = uniform if params.temperature else None
        return self._real.generate(ids, params, uniform=chance).token_ids

    def _uniform(self, seed: int) -> Callable[[int], float]:
        return lambda index: self._rng.uniform("sample", seed, index)


class Stages:
    """Stages by their scenario, the latest few. Their files are put into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stages: dict[str, Stage] = {}
        # A shape's trials differ in deadlines from its calm run, and answer the same.
        self._answers: dict[str, Answers] = {}
        self._num_files = 0

    def of(self, trial: Trial) -> Stage:
        """Raises ScenarioError where its scenario cannot be."""
        key = json.dumps([trial.scenario, trial.model], sort_keys=True)
        if key not in self._stages:
            if len(self._stages) >= STAGES_MAX:
                del self._stages[next(iter(self._stages))]
            answers = self._answers_of(trial)
            self._stages[key] = Stage(self._drawn(trial.scenario, trial.model), answers)
        return self._stages[key]

    def _answers_of(self, trial: Trial) -> Answers:
        told = [trial.model, {**trial.scenario, "name": "", "slo": {}}]
        key = json.dumps(told, sort_keys=True)
        if key not in self._answers:
            if len(self._answers) >= STAGES_MAX:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = {}
        return self._answers[key]

    def _drawn(self, scenario: Mapping[str, Any], model: Mapping[str, Any] | None) -> Blueprint:
        self._num_files += 1
        name, path = f"{os.getpid()}-{self._num_files}", TINY_MODEL
        if model is not None:
            described = self._folder / f"model-{name}.json"
            described.write_text(json.dumps(model))
            path = str(described)
        file = self._folder / f"chaos-{name}.yaml"
        section = {**scenario["model"], "path": path}
        file.write_text(json.dumps({**scenario, "model": section, "workload": WORKLOAD}))
        return Blueprint.draw(load_scenario(file))
