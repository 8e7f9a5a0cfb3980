"""What a plan says of a chip, and of each other rank of one."""

import math

from configs.fitting import Fit
from configs.model_config import ModelConfig
from configs.offload import OffloadPlan, offload_plan
from configs.plan.nodes import ChipPlan, RankPlan
from configs.plan.sites import Site
from configs.schema import CHIP_ROLES, Role, Scenario
from configs.schema.cluster import RANK
from configs.tiers import Tiers

# Of a chip's KV blocks, as in vLLM (`watermark` of its block manager); at least one block, since
# ours may be few.
WATERMARK_SHARE = 0.01


def make_chip(
    name: str,
    role: Role,
    site: Site,
    scenario: Scenario,
    config: ModelConfig,
    tiers: Tiers,
    fit: Fit,
    kv_block_bytes: int,
    weights_bytes: int,
) -> ChipPlan:
    """A chip, or the rank that leads one."""
    is_watermarked = scenario.placement.reserve == "watermark"
    return ChipPlan(
        name,
        role,
        site.name,
        tier=tiers["weights"],
        embeddings_tier=tiers["embeddings"],
        kv_tier=tiers["kv"],
        activations_tier=tiers["activations"],
        weights_bytes=weights_bytes,
        num_kv_blocks=fit.num_kv_blocks,
        kv_bytes=fit.num_kv_blocks * kv_block_bytes,
        watermark_blocks=math.ceil(WATERMARK_SHARE * fit.num_kv_blocks) if is_watermarked else None,
        offload=_offload(site, scenario, config, tiers),
        gives_away=scenario.placement.kv_near is not None,
    )


def make_rank(
    name: str, site: Site, tiers: Tiers, fit: Fit, kv_block_bytes: int, weights_bytes: int
) -> RankPlan:
    """A rank that does not lead."""
    return RankPlan(
        name,
        RANK,
        site.name,
        chip=site.chip,
        number=site.rank,
        tier=tiers["weights"],
        embeddings_tier=tiers["embeddings"],
        kv_tier=tiers["kv"],
        activations_tier=tiers["activations"],
        weights_bytes=weights_bytes,
        num_kv_blocks=fit.num_kv_blocks,
        kv_bytes=fit.num_kv_blocks * kv_block_bytes,
    )


def _offload(
    site: Site, scenario: Scenario, config: ModelConfig, tiers: Tiers
) -> OffloadPlan | None:
    section, group = scenario.placement.kv_offload, site.group
    if section is None:
        return None
    return offload_plan(
        section, tiers["kv_offload"], group.device, group.link, config, scenario.model,
        years=scenario.economics.years,
        num_chips=sum(role in CHIP_ROLES for _, role in site.workers),
    )  # fmt: skip
