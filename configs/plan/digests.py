"""What a run with digests in the place of hidden states (`model.numerics: digest`) cannot do."""

from configs.model_config import ModelConfig
from configs.schema import Scenario

MOST_EXPERTS = 65_535  # ids of a recorded run have 16 bits


def digest_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    """None with real numbers."""
    if scenario.model.numerics != "digest":
        return []
    problems = []
    if config.num_experts > MOST_EXPERTS:
        problems.append(
            f"model.numerics: is 'digest', and {scenario.model.path} has {config.num_experts} "
            f"experts: at most {MOST_EXPERTS}"
        )
    if scenario.placement.experts_prefetch:
        problems.append(
            "placement.experts_prefetch: is true, and model.numerics 'digest': what is read ahead "
            "is predicted from real hidden states; leave it out"
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
            "'digest': pages of a file are as large as what is written, and digests are smaller "
            "than the blocks they stand for; leave file out"
            for tier, spec in group.device.tiers.items()
            if spec.file is not None
        ]
    return problems
