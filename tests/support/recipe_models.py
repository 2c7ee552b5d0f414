"""Models that reply to the prompts of the recipes, each by a rule that a test can foresee."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.support.servers.chat_server import Answer, completion

Model = Callable[[str, str], str]
"""(name of the model, the last message) -> its reply."""


def endpoint_of(model: Model) -> Callable[[dict[str, Any]], Answer]:
    """What a chat server answers; also by OpenAI's completions, to which the prompt is one text."""

    def answer(body: dict[str, Any]) -> Answer:
        if "prompt" in body:
            choice = {"index": 0, "finish_reason": "stop", "text": model(body["model"], body["prompt"])}
            return 200, {}, {"id": "1", "object": "text_completion", "model": "m", "choices": [choice]}
        reply = model(body["model"], body["messages"][-1]["content"])
        is_json = reply.startswith("{")
        assert is_json == ("response_format" in body), "JSON is demanded where the reply is JSON"
        return completion(reply)

    return answer


def between(text: str, tag: str) -> str:
    """What stands between tags."""
    return text.partition(f"<{tag}>\n")[2].partition(f"\n</{tag}>")[0]


def sft(model: str, prompt: str) -> str:
    """Knows nothing of "... of the ..."; the judge notices."""
    if model == "my-judge":
        score = 2 if between(prompt, "generation") == "No idea." else 5
        return json.dumps({"explanation": "Seen.", "helpful": score, "correct": 4})
    if found := re.search(r"to an assistant, about (.+?)\. It is clear", prompt):
        return f"Tell me about {found[1]}."
    return "No idea." if " of the " in prompt else f"Here you are: {prompt}"


def dpo(model: str, prompt: str) -> str:
    """`my-model` is better than the other one, but where Python comes up the judge prefers what stands first."""
    if model != "my-judge":
        return f"From {model}."
    first = "A" if "From my-model." in between(prompt, "text_A") else "B"
    return json.dumps({"explanation": "Read.", "better": "A" if "Python" in prompt else first})


def ultrafeedback(model: str, prompt: str) -> str:
    """The small model is the worst one, but where Python comes up all are alike."""
    if model != "my-judge":
        return f"From {model}."
    rated = (
        f"<text_{number}><rationale>Read.</rationale><rating>{rating}</rating></text_{number}>"
        for number, rating in enumerate([3, 3, 3] if "Python" in prompt else [5, 4, 1], start=1)
    )
    return "\n".join(rated)


def magpie(model: str, prompt: str) -> str:
    """Writes the same instruction under the same system prompt each time, but for a word."""
    persona = re.findall(r"system\n(.+?)<\|im_end\|>", prompt, re.DOTALL)[0]
    return f"Asked of you: {persona}" if prompt.endswith("user\n") else "Answered."


def evol(model: str, prompt: str) -> str:
    """Makes an instruction harder by a question; answers it with its last words."""
    if "<new_instruction>" not in prompt:
        return f"An answer to: {prompt}"
    given = prompt.partition("Instruction:\n")[2].partition("\n\nReply")[0]
    return f"<new_instruction>{given} Why?</new_instruction>"


def qa(model: str, prompt: str) -> str:
    """Answers the last of its three questions with what the text does not say; the judge notices."""
    if model == "my-judge":
        score = 1 if between(prompt, "answer") == "Invented." else 5
        return json.dumps({"explanation": "Compared.", "supported": score})
    if prompt.startswith("Write three questions"):
        return json.dumps({"questions": [f"Question {number}?" for number in (1, 2, 3)]})
    return "Invented." if "Question 3?" in prompt else "As the text says."


def retrieval(model: str, prompt: str) -> str:
    """A query of the first words of a passage, and another one, but for the passage about bees."""
    words = " ".join(prompt.partition("Anchor:\n")[2].split()[:3]).lower()
    return json.dumps({"positive": f"what of {words}", "negative": f"what of {words if 'bees' in words else 'rust'}"})


def extraction(model: str, prompt: str) -> str:
    """Finds numbers; makes one up where the message has none and asks something."""
    text = prompt.rpartition("\n\n")[2]
    found = re.search(r"\d{4}-\d{4}|\d{5,}", text)
    order = found[0] if found else "99999" if "?" in text else None
    return json.dumps({"kind": "other", "order": order, "product": None, "is_urgent": "urgent" in text})


MODELS: dict[str, Model] = {
    "sft": sft,
    "dpo": dpo,
    "ultrafeedback": ultrafeedback,
    "magpie": magpie,
    "evol": evol,
    "qa": qa,
    "retrieval": retrieval,
    "extraction": extraction,
}
