"""The table of classes: one case per line, with answers as the providers' documents show them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from common.llms.apis.chat_completions import ChatCompletions
from common.llms.calls.verdicts import COMMON, LONGEST_PAUSE, ErrorReply, judge, pause_asked_for
from common.llms.providers import PROVIDERS

CASES = [
    # status, code, type, message, class
    (200, "", "", "", "answer"),
    (402, "", "", "Insufficient Balance", "setup"),
    (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota, check your plan", "setup"),
    (400, "", "invalid_request_error", "Your credit balance is too low to access the API", "setup"),
    (429, "rate_limit_exceeded", "tokens", "Rate limit reached for gpt-4o", "busy"),
    (503, "", "", "The model is overloaded. Please try again later.", "busy"),
    (503, "503", "", "The request queue is full.", "busy"),  # SGLang
    (503, "503", "unavailable_error", "Loading model", "away"),
    (403, "", "", "Your input was flagged by moderation", "request"),
    (401, "invalid_api_key", "invalid_request_error", "Incorrect API key provided", "setup"),
    (403, "", "", "Country, region, or territory not supported", "setup"),
    (404, "model_not_found", "invalid_request_error", "The model `m` does not exist", "setup"),
    (405, "", "", "Method Not Allowed", "setup"),
    (400, "context_length_exceeded", "", "This model's maximum context length is 8192 tokens", "request"),
    (400, "content_filter", "", "The response was filtered due to the prompt triggering the policy", "request"),
    (413, "", "request_too_large", "Request exceeds the maximum size", "request"),
    (422, "", "", "`inputs` tokens + `max_new_tokens` must be <= 4096, too many tokens", "request"),
    (400, "model_not_found", "", "model: claude-9 not found", "setup"),
    (400, "", "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", "setup"),
    (400, "unsupported_parameter", "", "Unsupported parameter: 'max_tokens'", "setup"),
    (422, "", "", "Extra inputs are not permitted", "setup"),
    (422, "", "", "Unexpected fields in the request: {'top_k'}", "setup"),
    (400, "", "", "Server is pinned to 'a/b'; requested 'c/d'.", "setup"),
    (
        400,
        "400",
        "invalid_request_error",
        "[json.exception.type_error.302] type must be number, but is string",
        "setup",
    ),
    (400, "400", "invalid_request_error", "top_logprobs requires logprobs to be set to true", "setup"),
    (400, "400", "BadRequestError", "[{'type': 'float_parsing', 'loc': ('body', 'temperature')}]", "setup"),
    (400, "400", "Bad Request", "1 validation error:\n  {'type': 'float_parsing', 'loc': 'body.top_p'}", "setup"),
    (400, "400", "BadRequestError", "[{'loc': ('body', 'function-wrap[f()]', 'messages', 0)}]", "request"),
    (400, "400", "BadRequestError", "This model does not support generation", "setup"),
    (400, "400", "BadRequestError", "Failed to transform regex into a grammar: at 3", "setup"),
    (400, "400", "BadRequestError", "Error parsing regex: unterminated group", "setup"),
    (400, "400", "BadRequestError", "Grammar error: no rule", "setup"),
    (400, "400", "BadRequestError", "m is not a multimodal model", "request"),
    (501, "501", "NotImplementedError", "The model does not support Embeddings API", "setup"),
    (400, "400", "BadRequestError", "[{'type': 'missing', 'loc': ('body', 'messages', 0, 'content')}]", "request"),
    (400, "invalid_value", "", "max_tokens is too large: 9. This model supports at most 8 completion tokens", "setup"),
    (400, "", "", "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", "setup"),
    (400, "", "", "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens`", "setup"),
    (400, "", "", "'max_tokens' is too large: 40. This model's maximum context length is 50 tokens", "request"),
    (400, "json_validate_failed", "", "Failed to generate JSON", "fault"),
    (400, "", "", "Invalid schema for response_format 'x'", "setup"),
    (400, "400", "invalid_request_error", "Failed to initialize samplers: failed to parse grammar", "setup"),
    (400, "400", "invalid_request_error", "Automatic parser generation failed: JSON schema error at #", "setup"),
    (400, "", "", "Something about this prompt", "request"),
    (408, "", "", "Request Timeout", "fault"),
    (409, "", "", "Conflict", "fault"),
    (422, "", "", "Unprocessable", "request"),
    (424, "", "", "Failed dependency", "busy"),
    (529, "", "overloaded_error", "Overloaded", "away"),
    (400, "400", "invalid_request_error", "Field 'n_predict': Value must be between -1 <= value", "setup"),
    (400, "400", "invalid_request_error", "Cannot use custom grammar constraints with tools.", "setup"),
    (500, "500", "server_error", "Failed to parse tools: Missing tool function: {}", "setup"),
    (500, "500", "server_error", "Failed to parse messages: Missing 'role' in message: {}", "request"),
    (500, "500", "server_error", "input (900 tokens) is too large to process", "request"),
    (500, "500", "server_error", "image input is not supported - hint: you may need to provide the mmproj", "request"),
    (501, "501", "not_supported_error", "This server does not support embeddings", "setup"),
    (500, "", "", "The server had an error", "fault"),
    (502, "", "", "Bad Gateway", "fault"),
    (503, "", "", "Service Unavailable", "fault"),
    (302, "", "", "", "setup"),
    (451, "", "", "", "setup"),
]


@pytest.mark.parametrize(("status", "code", "kind", "message", "expected"), CASES)
def test_an_answer_has_its_class(status: int, code: str, kind: str, message: str, expected: str) -> None:
    assert judge(status, ErrorReply(message, kind, code)).kind == expected


OF_AN_OPTION = ErrorReply("must be non-negative, got -1", "BadRequestError", "400", "temperature")


def test_an_error_about_an_option_is_one_of_all_rows_and_one_about_the_messages_is_not() -> None:
    assert judge(400, OF_AN_OPTION).kind == "setup"
    assert judge(400, replace(OF_AN_OPTION, parameter="body.temperature")).kind == "setup"
    assert judge(400, replace(OF_AN_OPTION, parameter="input_tokens")).kind == "request"
    assert judge(400, replace(OF_AN_OPTION, parameter="messages[0].content")).kind == "request"
    assert judge(400, replace(OF_AN_OPTION, parameter="max_tokens")).kind == "request"


def test_each_line_of_the_table_is_the_first_that_matches_some_case() -> None:
    used = set()
    errors = [(status, ErrorReply(message, kind, code)) for status, code, kind, message, _ in CASES]
    for status, error in (*errors, (400, OF_AN_OPTION)):
        used.add(next(i for i, rule in enumerate(COMMON) if rule.matches(status, error)))
    assert used == set(range(len(COMMON)))


def test_what_halts_a_run_says_what_to_change() -> None:
    for rule in COMMON:
        assert bool(rule.advice) == (rule.verdict == "setup")


@pytest.mark.parametrize(
    ("provider", "status", "message", "expected"),
    [("gemini", 503, "The service is currently unavailable", "busy"), ("groq", 498, "Flex tier capacity", "busy")],
)
def test_a_line_of_a_provider_comes_first(provider: str, status: int, message: str, expected: str) -> None:
    assert judge(status, ErrorReply(message), PROVIDERS[provider].rules).kind == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c", "param": "p"}}, ErrorReply("m", "t", "c", "p")),
        ({"object": "error", "message": "m", "type": "t", "code": 400, "param": None}, ErrorReply("m", "t", "400")),
        (
            [{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}],
            ErrorReply("m", "INVALID_ARGUMENT", "400"),
        ),
        ({"detail": "Not Found"}, ErrorReply("Not Found")),
        ({"error": "Input validation error", "error_type": "validation"}, ErrorReply("Input validation error")),
        ("plain", ErrorReply("plain")),
    ],
)
def test_errors_are_read_as_each_server_writes_them(reply: object, expected: ErrorReply) -> None:
    assert ChatCompletions().error(reply) == expected


NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Sat, 28 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Sat, 28 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "999999"}, LONGEST_PAUSE),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
    ],
)
def test_the_pause_that_an_endpoint_asks_for_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert pause_asked_for(headers, now=NOW) == seconds
