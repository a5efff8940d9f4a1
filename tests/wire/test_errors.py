"""Refusals of real servers, as documentation, sources and transcripts have them, and what each means."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind as Kind
from whisper_desktop.wire.errors import error_in, error_of
from whisper_desktop.wire.retry_after import retry_after


def refused(status: int, body: object, **headers: str) -> BackendError:
    raw = (
        body
        if isinstance(body, bytes)
        else body.encode()
        if isinstance(body, str)
        else json.dumps(body).encode()
    )
    return error_of(status, headers, raw)


def message(text: str, **more: object) -> dict[str, object]:
    return {"error": {"message": text, **more}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # llama.cpp
        (503, message("Loading model", type="unavailable_error", code=503), Kind.LOADING),
        (401, message("Invalid API Key", type="authentication_error", code=401), Kind.AUTH),
        (404, message("File Not Found", type="not_found_error", code=404), Kind.NOT_AN_LLM),
        (
            400,
            message(
                "request (928 tokens) exceeds the available context size (512 tokens), try increasing it",
                type="exceed_context_size_error",
                code=400,
            ),
            Kind.CONTEXT_OVERFLOW,
        ),
        (
            500,
            message("[json.exception.parse_error.101] parse error", type="server_error", code=500),
            Kind.BAD_REQUEST,
        ),
        (400, message("'messages' is required", type="invalid_request_error"), Kind.BAD_REQUEST),
        (
            501,
            message("This server does not support metrics endpoint.", type="not_supported_error"),
            Kind.UNSUPPORTED,
        ),
        (400, message("model 'zzz' not found", type="invalid_request_error"), Kind.MODEL_MISSING),
        (500, message("model name=bad failed to load", type="server_error"), Kind.SERVER_ERROR),
        # LM Studio
        (200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"}, Kind.NOT_AN_LLM),
        (
            400,
            message(
                "No models loaded. Please load a model in the developer page or use the 'lms load' command."
            ),
            Kind.MODEL_MISSING,
        ),
        (404, message("No models loaded. Please load a model"), Kind.MODEL_MISSING),
        (
            400,
            {
                "error": "The number of tokens to keep from the initial prompt is greater than the context "
                "length (n_keep: 13055>= n_ctx: 4096)."
            },
            Kind.CONTEXT_OVERFLOW,
        ),
        (
            400,
            {"error": "Trying to keep the first 9 tokens when context the overflows."},
            Kind.CONTEXT_OVERFLOW,
        ),
        (
            400,
            {"error": "The model has crashed without additional information. (Exit code: 6)"},
            Kind.SERVER_ERROR,
        ),
        (401, message("Malformed LM Studio API token provided: sk-lm-x", code="invalid_api_key"), Kind.AUTH),
        # Ollama
        (404, message("model 'x' not found", type="not_found_error"), Kind.MODEL_MISSING),
        (404, {"error": 'model "x" not found, try pulling it first'}, Kind.MODEL_MISSING),
        (
            503,
            {"error": "server busy, please try again.  maximum pending requests exceeded"},
            Kind.OVERLOADED,
        ),
        (401, {"error": "unauthorized", "signin_url": "https://ollama.com/connect"}, Kind.AUTH),
        (403, b"", Kind.AUTH),
        (400, {"error": '"m" does not support chat'}, Kind.UNSUPPORTED),
        (400, {"error": "the input length exceeds the context length"}, Kind.CONTEXT_OVERFLOW),
        (500, {"error": "llama-server process has terminated: exit status 2"}, Kind.SERVER_ERROR),
        (429, {"StatusCode": 429, "Status": "429 Too Many", "error": "too many"}, Kind.RATE_LIMITED),
        (404, "404 page not found", Kind.NOT_AN_LLM),
        # OpenRouter
        (400, message("acme/fake-1.0 is not a valid model ID", code=400), Kind.MODEL_MISSING),
        (401, message("Missing Authentication header", code=401), Kind.AUTH),
        (402, message("Insufficient credits", code=402), Kind.QUOTA),
        (
            403,
            message("flagged", code=403, metadata={"reasons": ["x"], "flagged_input": "y"}),
            Kind.CONTENT_FILTER,
        ),
        (
            404,
            message("No endpoints found", code=404, availability={"code": "no_endpoints"}),
            Kind.MODEL_MISSING,
        ),
        (429, message("slow", code=429), Kind.RATE_LIMITED),
        (
            429,
            message("All providers are at capacity.", error_type="rate_limit_exceeded", http_status=429),
            Kind.RATE_LIMITED,
        ),
        (502, message("down", code=502, metadata={"error_type": "provider_unavailable"}), Kind.SERVER_ERROR),
        (503, message("overloaded", code=503), Kind.OVERLOADED),
        (529, message("overloaded", code=529), Kind.OVERLOADED),
        (
            400,
            message("refused", code=400, metadata={"error_type": "content_policy_violation"}),
            Kind.CONTENT_FILTER,
        ),
        (413, message("too large", code=413), Kind.CONTEXT_OVERFLOW),
        (408, message("timeout", code=408), Kind.SERVER_ERROR),
        # OpenAI, vLLM, others
        (429, message("You exceeded your current quota.", type="insufficient_quota"), Kind.QUOTA),
        (
            400,
            message("This model's maximum context length is 4096 tokens.", code="context_length_exceeded"),
            Kind.CONTEXT_OVERFLOW,
        ),
        (404, message("The model `x` does not exist.", code="model_not_found"), Kind.MODEL_MISSING),
        (400, {"object": "error", "message": "temperature must be", "code": 400}, Kind.BAD_REQUEST),
        (401, {"detail": "Unauthorized"}, Kind.AUTH),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, Kind.BAD_REQUEST),
        (400, message("'stream' is not supported"), Kind.UNSUPPORTED),
        # Jan says it in plain text, GPT4All and proxies in nothing
        (401, "Missing authorization header", Kind.AUTH),
        (404, "No running session found for model 'x'", Kind.MODEL_MISSING),
        (503, "No models are available", Kind.MODEL_MISSING),
        (401, b"", Kind.AUTH),
        (500, b"<html>Internal Server Error</html>", Kind.SERVER_ERROR),
        (418, b"\xff\xfe", Kind.BAD_REQUEST),
    ],
)
def test_a_refusal_is_understood(status: int, body: object, kind: Kind) -> None:
    error = refused(status, body)
    assert (error.kind, error.status) == (kind, status)


def test_the_servers_own_words_are_quoted_in_one_short_line() -> None:
    error = refused(500, message("line one\nline two\x00" + "x" * 5000))
    assert error.detail.startswith("It says: “line one line two")
    assert len(error.detail) < 350
    assert "\n" not in error.detail


def test_a_web_page_is_not_quoted() -> None:
    assert refused(500, b"<html><h1>Oops</h1>").detail == ""


def test_what_a_server_says_about_a_key_is_not_repeated_because_it_may_repeat_the_key() -> None:
    assert "sk-lm" not in str(refused(401, message("Malformed LM Studio API token provided: sk-lm-secret")))


def test_the_wait_that_openrouter_puts_into_the_body_is_read() -> None:
    body = message("capacity", error_type="rate_limit_exceeded", availability={"retry_after": 40})
    assert refused(429, body).retry_after == 40
    assert error_in(body).retry_after == 40


def test_a_header_goes_before_the_body() -> None:
    assert (
        refused(429, message("x", availability={"retry_after": 40}), **{"retry-after": "2"}).retry_after == 2
    )


DATE = "Sat, 21 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:00 GMT", "date": DATE}, 60.0),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": DATE}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:00 GMT"}, None),
        ({"retry-after": "999999999"}, 86400.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "abc"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@given(st.integers(100, 999), st.binary(max_size=60))
def test_any_body_is_some_error(status: int, body: bytes) -> None:
    assert error_of(status, {}, body).title


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "message",
                    "code",
                    "type",
                    "metadata",
                    "availability",
                    "retry_after",
                    "detail",
                    "StatusCode",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.integers(400, 599), json_values)
def test_any_json_is_some_error(status: int, value: object) -> None:
    error = error_of(status, {}, json.dumps(value).encode())
    assert error.retry_after is None or error.retry_after >= 0
