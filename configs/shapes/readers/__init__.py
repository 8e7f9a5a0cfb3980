"""Readers of published config.json files, one module for each group of families, and which file
belongs to which.
"""

from collections.abc import Callable
from dataclasses import dataclass

from configs.shapes.given import Given
from configs.shapes.readers import (
    deepseek_v4,
    dense,
    gemma,
    gpt_oss,
    hybrid,
    latent,
    moe,
    nemotron,
    windows,
)
from configs.shapes.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Family:
    """read            from keys to a shape, without how it is stored
    architectures   class names; types   `model_type`s: of a whole file or of its text part
    """

    read: Callable[[Given], ModelShape]
    architectures: tuple[str, ...]
    types: tuple[str, ...]


FAMILIES = (
    Family(dense.read_llama, ("LlamaForCausalLM",), ("llama",)),
    Family(dense.read_mistral, ("MistralForCausalLM",), ("mistral",)),
    Family(dense.read_qwen2, ("Qwen2ForCausalLM",), ("qwen2",)),
    Family(
        dense.read_qwen3,
        ("Qwen3ForCausalLM", "Qwen3VLForConditionalGeneration"),
        ("qwen3", "qwen3_vl", "qwen3_vl_text"),
    ),
    Family(dense.read_mimo, ("MiMoForCausalLM",), ("mimo",)),
    Family(moe.read_mixtral, ("MixtralForCausalLM",), ("mixtral",)),
    Family(moe.read_phimoe, ("PhiMoEForCausalLM", "PhimoeForCausalLM"), ("phimoe",)),
    Family(moe.read_olmoe, ("OlmoeForCausalLM",), ("olmoe",)),
    Family(moe.read_qwen2_moe, ("Qwen2MoeForCausalLM",), ("qwen2_moe",)),
    Family(
        moe.read_qwen3_moe,
        ("Qwen3MoeForCausalLM", "Qwen3VLMoeForConditionalGeneration"),
        ("qwen3_moe", "qwen3_vl_moe", "qwen3_vl_moe_text"),
    ),
    Family(moe.read_minimax_m2, ("MiniMaxM2ForCausalLM",), ("minimax_m2",)),
    Family(moe.read_glm4_moe, ("Glm4MoeForCausalLM",), ("glm4_moe",)),
    Family(gpt_oss.read, ("GptOssForCausalLM",), ("gpt_oss",)),
    Family(latent.read_v2, ("DeepseekV2ForCausalLM",), ("deepseek_v2",)),
    Family(latent.read_v3, ("DeepseekV3ForCausalLM",), ("deepseek_v3", "kimi_k2")),
    Family(
        latent.read_sparse,
        ("DeepseekV32ForCausalLM", "GlmMoeDsaForCausalLM"),
        ("deepseek_v32", "glm_moe_dsa"),
    ),
    Family(deepseek_v4.read, ("DeepseekV4ForCausalLM",), ("deepseek_v4",)),
    Family(
        hybrid.read_qwen_sparse,
        ("Qwen3NextForCausalLM", "Qwen3_5MoeForConditionalGeneration", "Qwen3_5MoeForCausalLM"),
        ("qwen3_next", "qwen3_5_moe", "qwen3_5_moe_text"),
    ),
    Family(
        hybrid.read_qwen_dense,
        ("Qwen3_5ForConditionalGeneration", "Qwen3_5ForCausalLM"),
        ("qwen3_5", "qwen3_5_text"),
    ),
    Family(hybrid.read_kimi, ("KimiLinearForCausalLM",), ("kimi_linear",)),
    Family(gemma.read_gemma2, ("Gemma2ForCausalLM",), ("gemma2",)),
    Family(
        gemma.read_gemma3,
        ("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
        ("gemma3", "gemma3_text"),
    ),
    Family(
        gemma.read_gemma4,
        ("Gemma4ForCausalLM", "Gemma4ForConditionalGeneration"),
        ("gemma4", "gemma4_text"),
    ),
    Family(
        windows.read_llama4,
        ("Llama4ForCausalLM", "Llama4ForConditionalGeneration"),
        ("llama4", "llama4_text"),
    ),
    Family(windows.read_mimo_v2, ("MiMoV2FlashForCausalLM",), ("mimo_v2_flash",)),
    Family(windows.read_step, ("Step3p7FlashForCausalLM",), ("step3p7",)),
    Family(
        windows.read_minimax_m3,
        ("MiniMaxM3ForCausalLM", "MiniMaxM3SparseForCausalLM"),
        ("minimax_m3",),
    ),
    Family(nemotron.read_h, ("NemotronHForCausalLM",), ("nemotron_h",)),
    Family(nemotron.read_nas, ("DeciLMForCausalLM",), ("nemotron-nas",)),
)

BY_NAME = {name: family for family in FAMILIES for name in (*family.architectures, *family.types)}
ARCHITECTURES = tuple(name for family in FAMILIES for name in family.architectures)
