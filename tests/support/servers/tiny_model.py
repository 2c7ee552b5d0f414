"""A language model of 200 KB in a file of llama.cpp: random weights, and a token for each byte.

It answers with small letters and spaces that depend on the prompt, and ends in some places.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

CONTEXT = 512
"""Tokens of a prompt and its answer."""
WIDTH = 32
_END = 256
_LETTERS = " abcdefghijklmnopqrstuvwxyz"
_MARKS = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def write_tiny_model(path: Path) -> None:
    """Writes the same file each time."""
    import numpy as np
    from gguf import GGUFWriter, TokenType

    random = np.random.default_rng(1)

    def weights(*shape: int, scale: float) -> np.ndarray:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    tokens = [*_byte_tokens(), *_MARKS]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.NORMAL] * 256 + [TokenType.CONTROL] * len(_MARKS))
    writer.add_token_merges([f"{tokens[ord(' ')]} {tokens[ord(' ')]}"])  # the reader wants one
    writer.add_eos_token_id(_END)
    writer.add_add_bos_token(False)
    writer.add_chat_template(_TEMPLATE)

    layers = {
        "token_embd": weights(len(tokens), WIDTH, scale=0.5),
        "output": weights(len(tokens), WIDTH, scale=0.4),
        **{f"blk.0.attn_{name}": weights(WIDTH, WIDTH, scale=0.3) for name in ("q", "k", "v", "output")},
        **{f"blk.0.ffn_{name}": weights(2 * WIDTH, WIDTH, scale=0.2) for name in ("gate", "up")},
        "blk.0.ffn_down": weights(WIDTH, 2 * WIDTH, scale=0.2),
        **{name: np.ones(WIDTH, np.float32) for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")},
    }
    # The first dimension is the same for every token and nothing changes it, so that "output" can make tokens rare.
    layers["token_embd"][:, 0] = 2
    layers["blk.0.attn_output"][0] = layers["blk.0.ffn_down"][0] = 0
    layers["output"][:, 0] = [0 if chr(token) in _LETTERS else -20 for token in range(len(tokens))]
    layers["output"][_END, 0] = -2
    for name, values in layers.items():
        writer.add_tensor(f"{name}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _byte_tokens() -> Iterator[str]:
    """The character that stands for each byte in the vocabularies of GPT-2 and its heirs."""
    unprinted = 256
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255:
            yield chr(byte)
        else:
            yield chr(unprinted)
            unprinted += 1
