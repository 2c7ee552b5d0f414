"""Finds secrets that are written into a spec. A spec is dumped, logged and sent to the broker; a secret must not be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from common.faults import Loc, SpecFault, dotted

_ENDINGS = ("api_key", "apikey", "token", "password", "secret", "authorization")
_SPECIAL_TOKENS = frozenset(f"{name}_token" for name in ("bos", "eos", "pad", "unk", "sep", "cls", "mask", "stop"))
_COLUMN_NAMES = frozenset({"input_mappings", "output_mappings"})


def refuse_secrets(params: Mapping[str, Any], loc: Loc) -> None:
    """Looks at the parameters of a step and at the mappings in them; lists are data and are left alone.

    Raises:
        SpecFault: a key such as `api_key` or `hub_token` holds text. The message does not repeat the text.
    """
    for found in _secrets(params, loc):
        raise SpecFault(
            f"'{dotted(found)}' holds a secret in plain text; secrets come from the environment of the worker: remove "
            "it here and export it there (api_key_env: NAME says in which variable)",
            found,
        )


def _secrets(params: Mapping[str, Any], loc: Loc) -> Iterator[Loc]:
    for key, value in params.items():
        name = key.lower().replace("-", "_")
        if isinstance(value, str) and value and name.endswith(_ENDINGS) and name not in _SPECIAL_TOKENS:
            yield (*loc, key)
        elif isinstance(value, Mapping) and key not in _COLUMN_NAMES:
            yield from _secrets(value, (*loc, key))
