"""`pipeline-coordinator schema`."""

from __future__ import annotations

import json

import click


@click.command(short_help="Print the JSON Schema of a spec.")
def schema() -> None:
    """Prints the JSON Schema of a spec, for editors that complete and check YAML.

    The parameters of a step depend on its class and are not part of it; `validate` checks them.
    """
    from common.spec.spec import PipelineSpec

    text = {"$schema": "https://json-schema.org/draft/2020-12/schema", **PipelineSpec.model_json_schema()}
    click.echo(json.dumps(text, indent=2, ensure_ascii=False))
