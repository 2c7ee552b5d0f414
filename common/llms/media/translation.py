"""Parts of OpenAI's chat completions in the words of other APIs. Pure.

Sources: the API references of Anthropic ("Vision", "PDF support"), OpenAI ("Responses") and Ollama ("Chat").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.llms.media.kinds import embedded_in
from common.llms.messages import text_in


def anthropic_content(content: Any) -> Any:
    """The content of a message of the Messages API; blocks of its own stay.

    Raises:
        ValueError: it takes no such part.
    """
    return [_block(part) for part in content] if isinstance(content, list) else content


def responses_content(content: Any, role: str) -> Any:
    """The content of an item of the Responses API; parts of its own stay."""
    return [_input(part, role) for part in content] if isinstance(content, list) else content


def ollama_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of Ollama's own API, which has a text, and beside it images in base64.

    Raises:
        ValueError: it takes no such part.
    """
    content = message["content"]
    if not isinstance(content, list):
        return dict(message)
    images = [_image_data(part) for part in content if part.get("type") != "text"]
    return {**message, "content": text_in(content), **({"images": images} if images else {})}


def _block(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "image_url":
        return {"type": "image", "source": _source(part["image_url"]["url"])}
    if kind == "input_audio":
        raise ValueError("the Messages API takes no audio")
    if kind == "file" and (url := part["file"].get("file_data")):
        return {"type": "document", "source": _source(url), "title": part["file"].get("filename") or "file"}
    return part


def _source(url: str) -> dict[str, Any]:
    held = embedded_in(url)
    return {"type": "base64", "media_type": held.kind, "data": held.data} if held else {"type": "url", "url": url}


def _input(part: Any, role: str) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part["text"]}
    if kind == "image_url":
        more = {"detail": part["image_url"]["detail"]} if part["image_url"].get("detail") else {}
        return {"type": "input_image", "image_url": part["image_url"]["url"], **more}
    if kind == "file":
        return {"type": "input_file", **part["file"]}
    return part


def _image_data(part: Mapping[str, Any]) -> str:
    held = embedded_in(part["image_url"]["url"]) if part.get("type") == "image_url" else None
    if held is None:
        raise ValueError("Ollama's API takes images alone, by a path or bytes, not by a URL")
    return held.data
