"""Which engine of a machine does what: work on data in a tier is done by the engine beside it."""

from collections.abc import Iterator

from configs.schema.device import MAIN_ENGINE, DeviceSpec
from configs.schema.placement import Engines
from configs.units import BANDWIDTH, COMPUTE

# Operations for each byte of weights that one token meets: a multiply-add is two.
GEMV_FLOPS_PER_BYTE = {"fp32": 0.5, "bf16": 1.0, "fp16": 1.0, "fp8": 2.0, "int8": 2.0, "fp4": 4.0}


def engine_for(device: DeviceSpec, tier: str, dtype: str, engines: Engines) -> str:
    """The first engine beside the tier that computes in that dtype; the main one where there is
    none, or the placement says so.
    """
    if engines == "beside":
        for name, engine in device.engines.items():
            if engine.beside == tier and dtype in engine.compute:
                return name
    return MAIN_ENGINE


def engine_notes(device: DeviceSpec) -> tuple[str, ...]:
    """What each engine beside a tier is: and where the tier cannot feed it, how far that is."""
    return tuple(note for name in device.engines for note in _notes(device, name))


def _notes(device: DeviceSpec, name: str) -> Iterator[str]:
    engine = device.engines[name]
    if engine.beside is None:
        return
    feeds = device.tiers[engine.beside].sustained_read_bytes_per_s
    for dtype, peak in engine.compute.items():
        rate, per_byte = peak * engine.compute_efficiency, GEMV_FLOPS_PER_BYTE.get(dtype)
        if per_byte is None or rate <= feeds * per_byte:
            continue
        yield (
            f"engine {name} reaches {COMPUTE.format(int(rate))} in {dtype}, more than "
            f"{engine.beside} can feed it: {BANDWIDTH.format(feeds)}, which is "
            f"{COMPUTE.format(int(feeds * per_byte))} where a token meets each weight; it is busy "
            f"where {rate / (feeds * per_byte):.3g} or more share one"
        )
