"""The 512-token byte-level BPE of perfuse-tiny and the tokenizer files of the model folder.

Digits are single tokens, so a value is copied digit by digit whatever numbers were seen before.
The shipped tokenizer.json was trained on an earlier mix of the training chats and is fixed: another
run gives other merges, which need other weights, so the script asks where to write.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from configs.perfuse_tiny.chats import Message, training_chats

VOCABULARY = 512
END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = [END_OF_TEXT, START, END]
PAD_ID, START_ID, END_ID = 0, 1, 2
CONTEXT = 1024

CHAT_TEMPLATE = (
    "{%- for message in messages %}\n"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] %}\n"
    "{{- raise_exception('unknown role: ' + message['role']) }}\n"
    "{%- endif %}\n"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "{{- '<|im_start|>assistant\\n' }}\n"
    "{%- endif %}\n"
)


def render(messages: list[Message], add_generation_prompt: bool = False) -> str:
    """Render a chat as the chat template does (training need not go through Jinja)."""
    text = "".join(f"{START}{m['role']}\n{m['content']}{END}\n" for m in messages)
    return text + (f"{START}assistant\n" if add_generation_prompt else "")


def _training_text(seed: int, chats: int) -> Iterator[str]:
    """Yield roles and contents of training chats: the text between the special tokens."""
    for chat in islice(training_chats(seed), chats):
        for message in chat:
            yield f"{message['role']}\n{message['content']}"


def train_tokenizer(seed: int = 1, chats: int = 20_000) -> Tokenizer:
    """Train the byte-level BPE on training chats; all 256 bytes are in, so any text encodes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_text(seed, chats), trainer)
    return tokenizer


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_files(folder: Path, tokenizer: Tokenizer) -> None:
    """Write tokenizer.json, its configuration, the chat template and the generation defaults."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": None,
            "eos_token": END,
            "pad_token": END_OF_TEXT,
            "unk_token": None,
            "additional_special_tokens": [START, END],
            "add_bos_token": False,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": CONTEXT,
        },
    )
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    _write_json(
        folder / "generation_config.json",
        {
            "do_sample": False,
            "eos_token_id": END_ID,
            "pad_token_id": PAD_ID,
            "max_new_tokens": 32,
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the tokenizer and write its files.")
    parser.add_argument("--out", type=Path, required=True)
    write_files(parser.parse_args().out, train_tokenizer())
