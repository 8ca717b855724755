"""A vision-language backbone that fits in a demonstration: configuration and tokenizer of our own.

The same classes as SmolVLM2's, a few hundred thousand parameters, no file from anywhere else. What
it knows of language is what 400 tokens can say; it is here so that the whole path runs, trains and
is tested without a hub.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, SmolVLMConfig

_CORPUS = (
    "pick up the cube and put it into the box",
    "grasp the cloth and pull it with the left arm",
    "reach the red goal with the gripper",
    "stack the red block on the blue block, then open the drawer",
    "move the arm to the left, to the right, up, down and back home",
)

_SPECIAL = {
    "bos_token": "<|im_start|>",
    "eos_token": "<end_of_utterance>",
    "unk_token": "<|unk|>",
    "pad_token": "<|pad|>",
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
}
_VOCABULARY = 400
_IMAGE = 64
_PATCH = 16


def write_vlm(folder: Path) -> None:
    """Write configuration, processor and tokenizer of the tiny backbone into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    config = SmolVLMConfig(
        text_config={
            "model_type": "llama",
            "vocab_size": _VOCABULARY,
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "max_position_embeddings": 512,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "model_type": "smolvlm_vision",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": _IMAGE,
            "patch_size": _PATCH,
        },
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids(_SPECIAL["image_token"]),
        pad_token_id=tokenizer.pad_token_id,
    )
    config.save_pretrained(folder)
    size = {"longest_edge": _IMAGE}
    image_processor = {
        "image_processor_type": "SmolVLMImageProcessor",
        "size": size,
        "max_image_size": size,
        "do_image_splitting": False,
    }
    video_processor = {"video_processor_type": "SmolVLMVideoProcessor", "size": size}
    processor = {"processor_class": "SmolVLMProcessor", "image_seq_len": 4}
    for name, data in (
        ("preprocessor_config.json", image_processor | {"processor_class": "SmolVLMProcessor"}),
        ("video_preprocessor_config.json", video_processor),
        ("processor_config.json", processor),
    ):
        (folder / name).write_text(json.dumps(data, indent=1), encoding="utf-8")


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token=_SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=list(_SPECIAL.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    named = ("bos_token", "eos_token", "unk_token", "pad_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        padding_side="right",
        model_max_length=512,
        extra_special_tokens={k: v for k, v in _SPECIAL.items() if k not in named},
        **{name: _SPECIAL[name] for name in named},
    )
