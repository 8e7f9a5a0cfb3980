"""What a run without weights (`model.numerics: digest` and `counts`) cannot do."""

from configs.model_config import ModelConfig
from configs.schema import Scenario

MOST_EXPERTS = 65_535  # ids of a recorded run have 16 bits


def digest_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    """None with real numbers."""
    numerics = scenario.model.numerics
    if numerics == "real":
        return []
    problems = _value_problems(scenario) if numerics == "counts" else []
    if config.num_experts > MOST_EXPERTS:
        problems.append(
            f"model.numerics: is {numerics!r}, and {scenario.model.path} has {config.num_experts} "
            f"experts: at most {MOST_EXPERTS}"
        )
    if scenario.placement.experts_prefetch:
        problems.append(
            f"placement.experts_prefetch: is true, and model.numerics {numerics!r}: what is read "
            "ahead is predicted from real hidden states; leave it out"
        )
    if scenario.placement.experts.mode == "ship" and scenario.model.routing.balanced is not None:
        problems.append(
            "model.routing: is 'balanced', and placement.experts.mode 'ship': balanced experts are "
            "alike, so there is nothing to tell one that is shipped from another; choose another "
            "routing, or mode: near"
        )
    for name, group in scenario.cluster.nodes.items():
        if "memory" not in group.workers or not scenario.placement.pools:
            continue
        problems += [
            f"cluster.nodes.{name}.device.tiers.{tier}.file: is given, and model.numerics is "
            f"{numerics!r}: pages of a file are as large as what is written, and what stands for "
            "a block is smaller; leave file out"
            for tier, spec in group.device.tiers.items()
            if spec.file is not None
        ]
    return problems


def _value_problems(scenario: Scenario) -> list[str]:
    """What hangs on values, of which counts have none."""
    sampling = scenario.workload.sampling
    asked = {
        "logprobs": sampling.logprobs is not None,
        "stop": bool(sampling.stop),
        "stop_token_ids": bool(sampling.stop_token_ids),
    }
    return [
        f"workload.sampling.{key}: is given, and model.numerics is 'counts': answers are "
        "placeholders of the length that max_tokens says; leave it out, or set numerics: digest"
        for key, is_asked in asked.items()
        if is_asked
    ]
