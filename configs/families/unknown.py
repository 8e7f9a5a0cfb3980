"""Keys of a config.json that nobody here reads: harmless, or a feature that is not computed.

A key that a family does not know may change every token (an indexer's sizes, a factor on the
logits, another norm), so it is refused by name, unless it is switched off or can be seen to speak
of training, of sampling, or of the software that wrote the file.
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
# Where a factor of one changes nothing.
_FACTOR = re.compile(r".*(_factor|_scale|_scaling|_multiplier)")


def refuse_unknown(keys: Keys, known: frozenset[str]) -> None:
    """Raises CheckpointError at the first key that may change a token."""
    for name, value in keys.values.items():
        if name in known or name in _HARMLESS or _HARMLESS_FORM.fullmatch(name):
            continue
        if is_off(value) or (_FACTOR.fullmatch(name) and value == 1):
            continue
        right = "it is not computed in this family: it must be absent, or false, 0 or null"
        raise keys.error(name, value, right)


def is_off(value: object) -> bool:
    """null, false, 0, or empty: nothing is asked for."""
    return not value
