"""`pipeline-coordinator schema`."""

from __future__ import annotations

import json

import click


@click.command(short_help="Print the JSON Schema of specs.")
def schema() -> None:
    """Prints the JSON Schema of specs, for editors that complete and check YAML.

    The schema does not cover the parameters of a step, which depend on its class; `validate` checks them.
    """
    from common.spec.spec import PipelineSpec

    text = {"$schema": "https://json-schema.org/draft/2020-12/schema", **PipelineSpec.model_json_schema()}
    click.echo(json.dumps(text, indent=2, ensure_ascii=False))
