"""Data Designer asks the server: seed rows and one LLM text column."""

from __future__ import annotations

import os
import sys

os.environ["NEMO_TELEMETRY_ENABLED"] = "false"

import data_designer.config as dd
import pandas
from data_designer.interface import DataDesigner


def main(url: str, rows: int, concurrency: int) -> None:
    """Writes the dataset into the current folder."""
    model = dd.ModelConfig(
        alias="bench",
        model="bench",
        provider="bench",
        inference_parameters=dd.ChatCompletionInferenceParams(max_parallel_requests=concurrency),
        skip_health_check=True,
    )
    config = dd.DataDesignerConfigBuilder(model_configs=[model])
    config.with_seed_dataset(dd.DataFrameSeedSource(df=pandas.DataFrame({"number": range(rows)})))
    config.add_column(
        dd.LLMTextColumnConfig(name="answer", model_alias="bench", prompt="Say something about row {{ number }}")
    )
    designer = DataDesigner("artifacts", model_providers=[dd.ModelProvider(name="bench", endpoint=url, api_key="none")])
    # What is slower by default: a stricter sandbox for prompts, several groups of rows, figures on a port.
    native = dd.JinjaRenderingEngine.NATIVE
    designer.set_run_config(dd.RunConfig(buffer_size=rows, jinja_rendering_engine=native, otel_metrics_port=None))
    found = len(designer.create(config, num_records=rows).load_dataset())
    assert found == rows, f"{found} rows of {rows}"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
