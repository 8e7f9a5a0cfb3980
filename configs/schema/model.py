"""What is served, and how much of it at once. Names and defaults are vLLM's where it has them."""

from pathlib import PurePath
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from configs.precision import Precision, WireKind
from configs.presets import TINY_MODEL
from configs.schema.routing import Plainly, Routing
from configs.schema.section import Section, short_name
from configs.units import Bytes, Ratio


class ModelSection(Section):
    """path           Hugging Face checkpoint folder, or "perfuse-tiny" for the shipped model
    served_name    what requests call it; left out, the folder's name
    numerics       "real": real activations. "digest": 64-bit digests in their place; needs no
                   weights, and charges and declares what the real model would. "counts": the same
                   charges and work, and nothing in their place: answers are placeholders
    routing        of digests and counts: which experts tokens visit
    message_metadata   of digests and counts: "free", links are charged for rows, sums and keys
                   alone
    dtype          "fp32": exact mode. "bf16": weights, activations' products and KV in bf16
    quantization   "int8" or "int4" weights, made at load; with dtype bf16
    kv_cache_dtype   "auto": the dtype's; "int8" has a scale for each head's key and value
    dispatch_dtype   of rows on their way to experts; "auto": that of the arithmetic (int8 for int4)
    max_model_len  longest prompt plus answer in tokens; left out, the model's own context
    block_size     tokens in a KV block
    max_num_seqs, max_num_batched_tokens   of one step of one chip
    micro_batches  2: a step's sequences in two parts; one computes while the other's tokens are
                   with their experts
    gpu_memory_utilization   share of a chip's memory that weights, activations and KV may fill; the
                   rest is for what the runtime needs: its context, captured graphs, fragments
    activation_memory   set aside for activations beside the weights, for each chip and each shard
                   of experts; left out, what a step's rows take
    num_kv_blocks  KV blocks of each chip; left out, what fits beside the weights
    """

    path: str = TINY_MODEL
    served_name: str | None = None
    numerics: Literal["real", "digest", "counts"] = "real"
    routing: Routing = Routing(uniform=Plainly())
    message_metadata: Literal["charged", "free"] = "charged"
    dtype: Literal["fp32", "bf16"] = "fp32"
    quantization: Literal["int8", "int4"] | None = None
    kv_cache_dtype: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    dispatch_dtype: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    max_model_len: int | None = Field(default=None, ge=2, le=2**31 - 1)  # one token in, one out
    block_size: int = Field(default=16, ge=1, le=65_536)
    max_num_seqs: int = Field(default=256, ge=1, le=1_000_000)
    max_num_batched_tokens: int = Field(default=2048, ge=1, le=1 << 24)
    micro_batches: Literal[1, 2] = 1
    gpu_memory_utilization: Ratio = Field(default=0.9, gt=0, le=1)
    activation_memory_bytes: Bytes | None = Field(
        default=None, validation_alias="activation_memory", serialization_alias="activation_memory"
    )
    num_kv_blocks: int | None = Field(default=None, ge=1, le=2**31 - 1)
    enable_prefix_caching: bool = True

    @field_validator("numerics", mode="before")
    @classmethod
    def _earlier_name(cls, value: object) -> object:
        return "real" if value == "torch" else value  # what it was called while torch computed it

    _short = field_validator("dtype", "kv_cache_dtype", "dispatch_dtype", mode="before")(short_name)

    @property
    def precision(self) -> Precision:
        """In what numbers the model is held and computed."""
        kv = self.dtype if self.kv_cache_dtype == "auto" else self.kv_cache_dtype
        return Precision(self.quantization or self.dtype, kv)

    @property
    def rows(self) -> WireKind:
        """What rows travel to experts as."""
        chosen = self.dispatch_dtype
        return self.precision.arithmetic if chosen == "auto" else chosen

    @model_validator(mode="after")
    def _exact_is_exact(self) -> Self:
        if self.dtype != "fp32":
            return self
        for key, value, exact in (
            ("quantization", self.quantization, (None,)),
            ("kv_cache_dtype", self.kv_cache_dtype, ("auto", "fp32")),
            ("dispatch_dtype", self.dispatch_dtype, ("auto", "fp32")),
        ):
            if value not in exact:
                raise ValueError(
                    f"{key} is {value!r} and dtype fp32, which is exact mode: set dtype: bf16, or "
                    f"leave {key} out"
                )
        return self

    @model_validator(mode="after")
    def _without_weights_alone(self) -> Self:
        if self.numerics != "real":
            return self
        given = [k for k in ("routing", "message_metadata") if k in self.model_fields_set]
        if any(getattr(self, key) != type(self).model_fields[key].default for key in given):
            raise ValueError(
                f"{given[0]} is given and numerics {self.numerics!r}: real numbers say themselves "
                "where they go and what they take; set numerics: digest or counts, or leave it out"
            )
        return self

    @property
    def name(self) -> str:
        """The name that requests use."""
        return self.served_name or PurePath(self.path).name or self.path
