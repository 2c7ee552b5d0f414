"""`transformers serve` with a tiny model of random weights, where torch and transformers are installed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

from tests.support.runs.harness import wait_for

_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_MARKS = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
_START_SECONDS = 90


def why_no_transformers() -> str:
    """Why it cannot be started here; empty if it can."""
    missing = [name for name in ("torch", "transformers", "fastapi", "uvicorn") if find_spec(name) is None]
    needed = "pip install 'transformers[serving]>=5' torch"
    return f"transformers' server needs {', '.join(missing)} ({needed})" if missing else ""


def write_tiny_transformer(folder: Path) -> None:
    """A model and its tokenizer, which has a token for each letter."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = [*" abcdefghijklmnopqrstuvwxyz", *_MARKS]
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token=" "))
    plain.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    plain.decoder = decoders.Fuse()
    end = vocabulary["<|end|>"]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": list(_MARKS[1:])})
    tokenizer.chat_template = _TEMPLATE
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        eos_token_id=end,
        pad_token_id=end,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def transformers_server(model: Path) -> Iterator[str]:
    """Its URL, without `/v1`. The model's name there is its path."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = model.with_name("transformers-server.log")
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | offline, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(f"{url}/health", process, log), _START_SECONDS, "transformers' server")
        yield url
    finally:
        process.kill()
        process.wait()


def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, f"transformers' server did not start: {log.read_text(errors='replace')[-2000:]}"
    try:
        urlopen(url, timeout=2).close()
    except OSError:
        return False
    return True
