"""Bespoke Curator asks the server: one LLM with the online backend for OpenAI's API."""

from __future__ import annotations

import os
import sys
import sysconfig

os.environ |= {"TELEMETRY_ENABLED": "false", "CURATOR_DISABLE_CACHE": "true", "CURATOR_DISABLE_RICH_DISPLAY": "1"}
# tiktoken would download the vocabulary that litellm, of which Curator is made, has in its package.
os.environ["TIKTOKEN_CACHE_DIR"] = f"{sysconfig.get_path('purelib')}/litellm/litellm_core_utils/tokenizers"

from bespokelabs import curator

NO_LIMIT = 10**12
"""Requests and tokens per minute; Curator assumes 200 and 100,000 for an endpoint that names no limits."""


class Ask(curator.LLM):
    """Rows with the answer."""

    def prompt(self, row: dict) -> str:
        return f"Say something about row {row['number']}"

    def parse(self, row: dict, answer: str) -> dict:
        return {**row, "answer": answer}


def main(url: str, rows: int, concurrency: int) -> None:
    """Keeps its requests and responses in the current folder."""
    ask = Ask(
        model_name="bench",
        backend="openai",
        backend_params={
            "base_url": url,
            "api_key": "none",
            "max_concurrent_requests": concurrency,
            "max_requests_per_minute": NO_LIMIT,
            "max_tokens_per_minute": NO_LIMIT,
        },
    )
    found = len(ask([{"number": number} for number in range(rows)], working_dir="work").dataset)
    assert found == rows, f"{found} rows of {rows}"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
