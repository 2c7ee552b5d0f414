"""Steps that run on a GPU with torch. Copied beside specs of tests."""

from __future__ import annotations

import os
from typing import Any

from pydantic import Field, PrivateAttr

from common.llms import LLM, ChatMessage, CudaDevicePlacementMixin, Generation
from common.steps import Step, StepInput, StepOutput


class OnGpu(Step):
    """Takes a share of the device's memory in `load`, and says what it sees."""

    share: float = 0.6

    _memory: Any = PrivateAttr(default=None)
    _free: float = PrivateAttr(default=0.0)

    @property
    def outputs(self) -> list[str]:
        return [f"{self.name}_{column}" for column in ("devices", "count", "free", "sum", "pid")]

    def load(self) -> None:
        import torch

        free, total = torch.cuda.mem_get_info()
        self._free = free / total
        self._memory = torch.zeros(int(total * self.share), dtype=torch.uint8, device="cuda")

    def process(self, inputs: StepInput) -> StepOutput:
        import torch

        numbers = torch.tensor([float(row["n"]) for row in inputs], device="cuda")
        seen = {
            f"{self.name}_devices": os.environ["CUDA_VISIBLE_DEVICES"],
            f"{self.name}_count": torch.cuda.device_count(),
            f"{self.name}_free": self._free,
            f"{self.name}_sum": float((numbers @ numbers).sqrt().item()),
            f"{self.name}_pid": os.getpid(),
        }
        yield [{**row, **seen} for row in inputs]


class TinyLM(LLM, CudaDevicePlacementMixin):
    """A language model with random weights: it generates nonsense, on its device."""

    tokens: int = Field(default=8, description="Bytes that it answers with.")

    _model: Any = PrivateAttr(default=None)

    @property
    def model_name(self) -> str:
        return "tiny"

    def load(self) -> None:
        import torch
        from transformers import GPT2Config, GPT2LMHeadModel

        torch.manual_seed(0)
        config = GPT2Config(vocab_size=256, n_positions=256, n_embd=64, n_layer=2, n_head=2, bos_token_id=0)
        config.eos_token_id = config.pad_token_id = None
        self._model = GPT2LMHeadModel(config).to("cuda").eval()

    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        import torch

        prompt = torch.tensor([list(messages[-1]["content"].encode()[-100:])], device="cuda")
        for _ in range(self.tokens):
            with torch.no_grad():
                following = self._model(prompt).logits[:, -1].argmax(-1, keepdim=True)
            prompt = torch.cat([prompt, following], dim=1)
        answer = prompt[0, -self.tokens :].tolist()
        return Generation(f"{torch.cuda.device_count()} device: {bytes(answer).hex()}", "length")
