"""InferenceEndpointsLLM, against an endpoint on loopback and the API that finds it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from common.errors import HubError, RunError, UsageError
from common.llms import Generation, InferenceEndpointsLLM
from common.llms.calls.calling import CallFailed, RequestRefused, WrongSetup
from common.llms.calls.gate import EndpointAway
from tests.support.asking import HI, answer_of
from tests.support.servers.api_server import Refused, serving_api
from tests.support.servers.inference_endpoint_server import TOKEN, InferenceEndpointServer


@pytest.fixture(autouse=True)
def token_of_a_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A login without a token yet."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    return tmp_path / "token"


def ask(
    server: InferenceEndpointServer, monkeypatch: pytest.MonkeyPatch, patience: float = 60.0, **options: Any
) -> Generation:
    """By the endpoint's name, unless `base_url` says where; it is then where the server is."""

    async def one() -> Generation:
        async with serving_api(server):
            monkeypatch.setattr("huggingface_hub.constants.INFERENCE_ENDPOINTS_ENDPOINT", f"{server.url}/v2")
            if "base_url" in options:
                options["base_url"] = server.url + options["base_url"]
            llm = InferenceEndpointsLLM(**options)
            return await answer_of(llm, HI, patience)

    return asyncio.run(one())


def test_a_model_of_the_hub_is_asked_through_its_router() -> None:
    llm = InferenceEndpointsLLM(model_id="org/model")
    assert llm.model_name == llm.model_identity == "org/model"
    assert llm._request_url == "https://router.huggingface.co/v1/chat/completions"
    assert InferenceEndpointsLLM(model="org/model").model_name == "org/model"
    former = InferenceEndpointsLLM(model_id="org/model", base_url="https://api-inference.huggingface.co/v1/")
    assert former._request_url == llm._request_url
    assert InferenceEndpointsLLM(model_id="org/model", model_display_name="M").model_name == "M"


def test_an_endpoint_is_found_by_its_name_and_asked_for_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    server = InferenceEndpointServer()
    assert ask(server, monkeypatch, endpoint_name="mine", endpoint_namespace="me").text == "answer to hi"
    assert server.asked[0].body == {"model": "org/model", "messages": HI}
    llm = InferenceEndpointsLLM(endpoint_name="mine", endpoint_namespace="me")
    assert (llm.model_name, llm.served_at) == ("mine", "Inference Endpoint me/mine")


def test_options_are_accepted_under_distilabels_names(monkeypatch: pytest.MonkeyPatch) -> None:
    server = InferenceEndpointServer()
    options = {"max_new_tokens": 5, "do_sample": False, "stop_sequences": ["END"], "top_k": 3}
    ask(server, monkeypatch, base_url="", generation_kwargs=options)
    body = server.asked[0].body
    assert body == {
        "model": "tgi",
        "messages": HI,
        "max_tokens": 5,
        "temperature": 0.0,
        "stop": ["END"],
        "top_k": 3,
    }


@pytest.mark.parametrize("suffix", ["", "/", "/v1"])
def test_a_server_elsewhere_is_asked_at_its_version(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = InferenceEndpointServer()
    assert ask(server, monkeypatch, base_url=suffix, stream=True).text == "answer to hi"


def test_an_endpoint_that_is_scaled_to_zero_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    server = InferenceEndpointServer(state="scaledToZero", starts_in=2)
    answer = ask(server, monkeypatch, endpoint_name="mine", endpoint_namespace="me")
    assert answer.text == "answer to hi"
    assert len(server.asked) == 3
    server = InferenceEndpointServer(starts_in=99)
    with pytest.raises(EndpointAway, match="503: Service Unavailable"):
        ask(server, monkeypatch, patience=0.1, base_url="")


@pytest.mark.parametrize("state", ["paused", "failed"])
def test_an_endpoint_that_is_paused_or_broken_halts_the_run(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=f"me/mine answers nothing, since its status is '{state}': start it at"):
        ask(InferenceEndpointServer(state=state), monkeypatch, endpoint_name="mine", endpoint_namespace="me")


def test_an_endpoint_without_a_url_or_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    server = InferenceEndpointServer(state="pending", has_url=False)
    with pytest.raises(RunError, match=r"me/mine has no URL yet \(status 'pending'\)"):
        ask(server, monkeypatch, endpoint_name="mine", endpoint_namespace="me")
    with pytest.raises(HubError, match="me/other was not found") as caught:
        ask(InferenceEndpointServer(), monkeypatch, endpoint_name="other", endpoint_namespace="me")
    assert TOKEN not in str(caught.value)


def test_the_token_of_a_login_goes_to_hugging_face_alone(
    monkeypatch: pytest.MonkeyPatch, token_of_a_login: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    token_of_a_login.write_text(TOKEN)
    assert InferenceEndpointsLLM(model_id="m")._key == TOKEN
    assert InferenceEndpointsLLM(base_url="https://x.us-east-1.aws.endpoints.huggingface.cloud")._key == TOKEN
    assert InferenceEndpointsLLM(base_url="https://huggingface.co.example.org")._key == ""
    assert ask(InferenceEndpointServer(), monkeypatch, endpoint_name="mine", endpoint_namespace="me").text
    with pytest.raises(WrongSetup, match=r"set the environment variable HF_TOKEN .* it holds no key") as caught:
        ask(InferenceEndpointServer(), monkeypatch, base_url="")
    assert TOKEN not in str(caught.value)


def test_without_a_token_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UsageError, match="needs a key: set the environment variable HF_TOKEN"):
        InferenceEndpointsLLM(model_id="m").load()
    with pytest.raises(UsageError, match="mine needs a token: set the environment variable HF_TOKEN"):
        InferenceEndpointsLLM(endpoint_name="mine").load()


def test_a_client_without_a_model_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="name a model: set model_id, or endpoint_name, or base_url"):
        InferenceEndpointsLLM()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (422, {"error": f"Input validation error: inputs must have less than {TOKEN}"}, RequestRefused),
        (402, {"error": "You have exceeded your monthly included credits"}, WrongSetup),
        (403, {"error": f"no permission for {TOKEN}"}, WrongSetup),
        (404, {"error": "not here"}, WrongSetup),
    ],
)
def test_an_error_is_classed_and_never_shows_the_token(
    status: int, body: dict[str, str], kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = InferenceEndpointServer()
    server.script.append(Refused(status, body))
    with pytest.raises(kind, match=str(status)) as caught:
        ask(server, monkeypatch, base_url="")
    assert TOKEN not in str(caught.value)


def test_a_model_that_is_overloaded_is_asked_again_and_one_that_fails_is_the_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = InferenceEndpointServer()
    server.script.append(Refused(429, {"error": "Model is overloaded", "error_type": "overloaded"}))
    assert ask(server, monkeypatch, base_url="").text == "answer to hi"
    server = InferenceEndpointServer()
    server.script += [Refused(424, {"error": "Request failed during generation"})] * 9
    with pytest.raises(CallFailed, match="424: Request failed"):
        ask(server, monkeypatch, base_url="")
