"""How late a `latency` fault makes a message: netem's words where it has them, and each
distribution's own.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from configs.schema.section import Section
from configs.units import DurationNs, Ratio

Distribution = Literal["fixed", "uniform", "normal", "lognormal", "pareto", "replay"]
DELAYS_MAX = 1_000_000  # of one recording

# Distribution -> keys that it needs, keys that it may have. Every one may have a latency.
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "fixed": (("latency",), ()),
    "uniform": (("latency",), ("jitter", "correlation")),
    "normal": (("latency", "jitter"), ("correlation",)),
    "lognormal": (("median", "sigma"), ("correlation",)),
    "pareto": (("scale", "alpha"), ("correlation",)),
    "replay": ((), ("path", "delays")),
}
_FIELDS = {
    "latency": "latency_ns",
    "jitter": "jitter_ns",
    "correlation": "correlation",
    "median": "median_ns",
    "sigma": "sigma",
    "scale": "scale_ns",
    "alpha": "alpha",
    "path": "path",
    "delays": "delays_ns",
}


class LatencyAttributes(Section):
    """Each message is late by `latency` and what is drawn:

    fixed       nothing more
    uniform     evenly from -jitter to +jitter
    normal      around 0, with a standard deviation of `jitter`
    lognormal   median * exp(sigma * Z), Z standard normal
    pareto      from `scale` on, P(X > x) = (scale / x) ** alpha
    replay      the delays of a recording, one after the other, on each link from its beginning

    correlation   of one draw with the one before on the same link, as normal numbers
    """

    distribution: Distribution = "uniform"
    latency_ns: DurationNs | None = Field(
        default=None, validation_alias="latency", serialization_alias="latency"
    )
    jitter_ns: DurationNs | None = Field(
        default=None, validation_alias="jitter", serialization_alias="jitter"
    )
    correlation: Ratio | None = Field(default=None, ge=0, lt=1)
    median_ns: DurationNs | None = Field(
        default=None, validation_alias="median", serialization_alias="median"
    )
    sigma: float | None = Field(default=None, gt=0, le=10)
    scale_ns: DurationNs | None = Field(
        default=None, validation_alias="scale", serialization_alias="scale"
    )
    alpha: float | None = Field(default=None, gt=0, le=1000)
    path: str | None = None
    delays_ns: tuple[DurationNs, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=DELAYS_MAX,
        validation_alias="delays",
        serialization_alias="delays",
    )

    @model_validator(mode="after")
    def _fits_the_distribution(self) -> Self:
        needed, optional = _KEYS[self.distribution]
        known = ("latency", *(key for key in needed if key != "latency"), *optional)
        for key, field in _FIELDS.items():
            given = getattr(self, field) is not None
            if given and key not in known:
                raise ValueError(
                    f"{key} is no key of distribution {self.distribution}, which takes "
                    f"{', '.join(known)}: leave it out, or {_meant(key)}"
                )
            if key in needed and not given:
                raise ValueError(
                    f"{key} is missing: distribution {self.distribution} needs {', '.join(needed)}"
                )
        if self.distribution == "replay" and (self.path is None) == (self.delays_ns is None):
            raise ValueError("distribution replay needs path or delays, and one of them alone")
        if self.distribution == "uniform" and (self.jitter_ns or 0) > (self.latency_ns or 0):
            raise ValueError(
                f"jitter is {self.jitter_ns} ns and latency {self.latency_ns} ns: "
                "a message cannot come early, so jitter must be at most the latency"
            )
        return self


def _meant(key: str) -> str:
    takes = [name for name, keys in _KEYS.items() if key in (*keys[0], *keys[1])]
    return f"set distribution: {' or '.join(takes)}"
