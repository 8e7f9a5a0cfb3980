"""KV blocks of one group's chips, where they are not as the model's."""

from typing import Literal

from pydantic import Field, field_validator

from configs.schema.section import Section, short_name


class KvSection(Section):
    """block_size   tokens in a KV block         dtype   of the KV cache

    What is left out is as `model.block_size` and `model.kv_cache_dtype` say.
    """

    block_size: int | None = Field(default=None, ge=1, le=65_536)
    dtype: Literal["fp32", "bf16", "int8"] | None = None

    _short = field_validator("dtype", mode="before")(short_name)
