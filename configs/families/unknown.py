"""Keys of a config.json that nobody here reads: harmless, or a feature that is not computed.

A key that a family does not know may change every token (an indexer's sizes, a factor on the
logits, another norm), so it is refused by name, unless it asks for nothing or can be seen to speak
of training, of sampling, or of the software that wrote the file.

False and 0 ask for nothing where the name says that something is added. Elsewhere they may switch
off what the family has (`apply_rope`, `is_causal`, `logit_scale`), and are refused as all else is.
"""

import re

from configs.families.keys import Keys

# What `transformers` writes beside a model's sizes, and what published folders add to it.
_HARMLESS = frozenset(
    """
    architectures model_type auto_map transformers_version dtype torch_dtype use_cache return_dict
    is_encoder_decoder is_decoder id2label label2id problem_type finetuning_task
    task_specific_params tokenizer_class quantization_config attn_implementation
    output_attentions output_hidden_states output_router_logits output_scores
    return_dict_in_generate initializer_range attention_dropout pretraining_tp ep_size seq_aux
    aux_loss_alpha router_aux_loss_coef num_nextn_predict_layers num_mtp_layers
    do_sample temperature top_k top_p typical_p max_length max_new_tokens num_beams
    num_return_sequences length_penalty repetition_penalty diversity_penalty early_stopping
    max_window_layers tf_legacy_loss torchscript use_bfloat16 remove_invalid_values
    gradient_checkpointing freeze_router router_dtype
    """.split()
)
_HARMLESS_FORM = re.compile(
    r"_.*"  # private to the software that wrote it: _name_or_path, _attn_implementation
    r"|(bos|eos|pad|unk|sep|cls|mask|decoder_start|forced_[be]os)_token(_id)?"
    r"|.*(_version|_loss|_loss_coef|_loss_alpha|_loss_weight|_jitter_noise|_dropout|_pdrop)"
    r"|(.*_)?initializer_range|unsloth_.*|train_.*|training_.*|axolotl_.*"
)
# Where a factor of one changes nothing, and one of zero everything.
_FACTOR = re.compile(r"(.*_)?(factor|scale|scaling|multiplier)")
# Something beside what a family has: none of it is fine.
_ADDED = re.compile(
    r"(use|has|have|add|enable|with|num|n)_.*"
    r"|.*_(bias|size|dim|rank|layers|heads|experts|tokens|cap|softcap|softcapping|window|sink|sinks"
    r"|gate|clip|coef|alpha|dropout|overlap)"
)
# What `transformers` 4 writes where it writes all: decoders of another kind, or none.
_WRITTEN = frozenset(
    """
    add_cross_attention tie_encoder_decoder chunk_size_feed_forward no_repeat_ngram_size
    encoder_no_repeat_ngram_size
    """.split()
)
# What every family has, so that none of it is a change, whatever the name begins with.
_THERE = frozenset(
    """
    rope rotary pe position positions positional embedding embeddings norm rmsnorm layernorm causal
    residual residuals attention attn mlp moe experts router head silu swiglu softmax scale scaling
    """.split()
)
# Of these more may be added.
_MORE = re.compile(r".*_(bias|sink|sinks|window|cap|softcap|softcapping|gate|clip|dropout|overlap)")


def refuse_unknown(keys: Keys, known: frozenset[str]) -> None:
    """Raises CheckpointError at the first key that may change a token."""
    for name, value in keys.values.items():
        if name in known or name in _HARMLESS or _HARMLESS_FORM.fullmatch(name):
            continue
        if asks_for_nothing(name, value):
            continue
        right = "it is not computed in this family: it must be absent"
        raise keys.error(name, value, right)


def asks_for_nothing(name: str, value: object) -> bool:
    """Of a key that nobody knows: it cannot change a token."""
    if not isinstance(value, bool | int | float):
        return is_off(value)
    if _FACTOR.fullmatch(name):
        return value == 1 and not isinstance(value, bool)
    return is_off(value) and is_addition(name)


def is_addition(name: str) -> bool:
    """Whether it speaks of something that a family does not have of itself."""
    if name in _WRITTEN or _MORE.fullmatch(name):
        return True
    return bool(_ADDED.fullmatch(name)) and _THERE.isdisjoint(name.split("_"))


def is_off(value: object) -> bool:
    """null, false, 0, or empty: nothing is asked for."""
    return not value
