"""What a plan says of a chip, and of each other rank of one."""

import math

from configs.block_form import BlockForm
from configs.fitting import Fit
from configs.model_config import ModelConfig
from configs.offload import OffloadPlan, offload_plan
from configs.plan.nodes import ChipPlan, PartPlan, RankPlan
from configs.plan.sites import PlanRole, Site
from configs.schema import CHIP_ROLES, Scenario
from configs.schema.nodes import RANK
from configs.sliding import Sliding, sliding_of
from configs.tiers import Tiers

# Of a chip's KV blocks, as in vLLM (`watermark` of its block manager); at least one block, since
# ours may be few.
WATERMARK_SHARE = 0.01


def block_bytes(scenario: Scenario, config: ModelConfig, slices: int = 1) -> int:
    """Of one KV block, all layers of `config`; or of one of so many slices of its tokens."""
    token_bytes = scenario.model.precision.kv_bytes_per_token(config)
    return scenario.model.block_size * token_bytes // slices


def chip_plan(
    name: str,
    role: PlanRole,
    site: Site,
    scenario: Scenario,
    config: ModelConfig,
    tiers: Tiers,
    fit: Fit,
    weights_bytes: int,
    max_model_len: int,
    kv_block_bytes: int,
) -> PartPlan:
    """A chip or the rank that leads one, or another rank; `config` is of what it holds."""
    kv_bytes = fit.num_kv_blocks * kv_block_bytes
    where = tiers["weights"], tiers["embeddings"], tiers["kv"], tiers["activations"]
    slices = site.group.decode_context_parallel_size
    form = BlockForm(scenario.model.block_size, scenario.model.precision.kv, slices)
    sliding = _sliding(site, config)
    num_ids = fit.num_kv_blocks
    if sliding is not None:
        most = scenario.model.max_num_seqs * -(-max_model_len // form.size)
        num_ids = sliding.num_ids(num_ids, most)
    kv = fit.num_kv_blocks, kv_bytes, form, sliding, num_ids
    held = name, role, site.name, *where, weights_bytes, *kv
    if role == RANK:
        return RankPlan(*held, site.chip, site.rank)
    is_watermarked = scenario.placement.reserve == "watermark"
    return ChipPlan(
        *held,
        watermark_blocks=math.ceil(WATERMARK_SHARE * fit.num_kv_blocks) if is_watermarked else None,
        offload=_offload(site, scenario, config, tiers),
        gives_away=scenario.placement.kv_near is not None,
    )


def _sliding(site: Site, config: ModelConfig) -> Sliding | None:
    """None in pipelines: what each stage gives back would differ, and their blocks are the same."""
    return sliding_of(config) if site.group.pipeline_parallel_size == 1 else None


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
