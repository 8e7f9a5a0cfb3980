"""What offloading a KV block costs a chip and saves it, by formula. Pure.

computing   2 x N operations a token (Kaplan et al. 2020, N weights that a token meets) at the
            chip's own rate: what a prefill takes at least, weights being read for many at once
moving      bytes / bandwidth + latency, of the tier or of the link
wear        a tier lives `years` if no more than capacity x cycles / years is written to it
            (`configs.flash.life_years`, solved for the rate)
"""

from dataclasses import dataclass

from configs.flash import YEAR_S
from configs.model_config import ModelConfig
from configs.schema import DeviceSpec, LinkSpec
from configs.schema.model import ModelSection
from configs.schema.offload import Admission, KvOffload


@dataclass(frozen=True, slots=True)
class BlockCosts:
    """Of one KV block, in nanoseconds: to compute its tokens, to write it, to read it back."""

    compute_ns: int
    write_ns: int
    read_ns: int


@dataclass(frozen=True, slots=True)
class OffloadPlan:
    """How one chip offloads.

    tier                None: to the memory servers' pool
    capacity_bytes      of that tier; 0 where there is none
    wear_bytes_per_s    what may be written to the tier, all in all; None: it does not wear
    """

    tier: str | None
    capacity_bytes: int
    admission: Admission
    costs: BlockCosts
    wear_bytes_per_s: float | None


def offload_plan(
    section: KvOffload,
    tier: str,
    device: DeviceSpec,
    link: LinkSpec,
    config: ModelConfig,
    model: ModelSection,
    *,
    years: float,
    num_chips: int,
) -> OffloadPlan:
    """Of one chip of `num_chips` on its node, each of which has an even part of the wear. `tier`:
    the node's own for it, where the section names one.
    """
    precision = model.precision
    num_bytes = model.block_size * precision.kv_bytes_per_token(config)
    # A device that lacks the dtype is refused for it (`configs.plan.problems`).
    rate = device.compute.get(precision.arithmetic, 1) * device.compute_efficiency
    compute_ns = _ns(2 * model.block_size * weights_met(config), rate)
    if section.own_tier is None:
        moved_ns = _ns(num_bytes, link.bytes_per_s) + link.latency_ns
        costs = BlockCosts(compute_ns, moved_ns, moved_ns + link.latency_ns)
        return OffloadPlan(None, 0, section.admission, costs, None)
    spec = device.tiers[tier]
    costs = BlockCosts(
        compute_ns,
        _ns(num_bytes, spec.sustained_write_bytes_per_s) + spec.write_latency_ns,
        _ns(num_bytes, spec.sustained_read_bytes_per_s) + spec.read_latency_ns,
    )
    wear = None
    if spec.endurance_cycles is not None:
        wear = spec.endurance_cycles * spec.capacity_bytes / (years * YEAR_S) / num_chips
    assert section.capacity_bytes is not None, "a tier of the chip's own has one"
    return OffloadPlan(tier, section.capacity_bytes, section.admission, costs, wear)


def weights_met(config: ModelConfig) -> int:
    """Numbers of all layers that one token is multiplied with: a sparse layer's chosen experts."""
    chosen = config.top_k * config.expert_bytes(1)  # of one byte each: as many as numbers
    return sum(
        config.layer_weights(layer) + (0 if config.is_dense(layer) else chosen)
        for layer in range(config.num_layers)
    )


def _ns(amount: int, per_s: float) -> int:
    return -int(-amount * 10**9 // per_s)
