"""Refusals of real servers, as documentation, sources and transcripts have them, and what each means."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind as Kind
from whisper_desktop.wire.errors import error_in, error_of, is_error


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


def anthropic(kind: str, text: str, **details: object) -> dict[str, object]:
    error: dict[str, object] = {"type": kind, "message": text}
    return {"type": "error", "error": error | ({"details": details} if details else {}), "request_id": "r"}


def google(text: str, status: str, *details: object) -> dict[str, object]:
    return {"error": {"code": 400, "message": text, "status": status, "details": list(details)}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # llama.cpp
        (503, message("Loading model", type="unavailable_error", code=503), Kind.LOADING),
        (503, message("error loading model: no such file"), Kind.OVERLOADED),
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
        (422, {"detail": []}, Kind.BAD_REQUEST),
        (400, message("Incorrect API key provided: xai-x"), Kind.AUTH),  # xAI
        (
            400,
            message("flagged as potentially violating our usage policy", code="invalid_prompt"),
            Kind.CONTENT_FILTER,
        ),
        (403, message("x", code="unsupported_country_region_territory"), Kind.UNSUPPORTED),
        (403, message("x", code="model_not_found"), Kind.MODEL_MISSING),
        (429, message("Rate limit exceeded: free-models-per-day", code=429), Kind.QUOTA),
        (499, {"error": "request canceled"}, Kind.SERVER_ERROR),
        (403, {"error": "ollama cloud is disabled: remote model details are unavailable"}, Kind.UNSUPPORTED),
        (500, {"error": True, "message": "boom"}, Kind.SERVER_ERROR),
        (400, {"error": 7, "message": "model 'x' not found"}, Kind.MODEL_MISSING),
        (
            502,
            message(
                "Provider returned error", code=502, metadata={"raw": '{"error":"prompt is too long: 9"}'}
            ),
            Kind.CONTEXT_OVERFLOW,
        ),
        (403, message("x", code=403, availability={"code": "region_restricted"}), Kind.UNSUPPORTED),
        # Anthropic
        (400, anthropic("invalid_request_error", "max_tokens: Field required"), Kind.BAD_REQUEST),
        (
            400,
            anthropic("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
            Kind.CONTEXT_OVERFLOW,
        ),
        (400, anthropic("invalid_request_error", "Your credit balance is too low to access"), Kind.QUOTA),
        (401, anthropic("authentication_error", "invalid x-api-key"), Kind.AUTH),
        (402, anthropic("billing_error", "x"), Kind.QUOTA),
        (403, anthropic("permission_error", "x"), Kind.AUTH),
        (404, anthropic("not_found_error", "model: claude-nonsense"), Kind.MODEL_MISSING),
        (404, anthropic("not_found_error", "Not found"), Kind.NOT_AN_LLM),
        (409, anthropic("conflict_error", "x"), Kind.SERVER_ERROR),
        (413, anthropic("request_too_large", "x"), Kind.CONTEXT_OVERFLOW),
        (429, anthropic("rate_limit_error", "x"), Kind.RATE_LIMITED),
        (429, anthropic("rate_limit_error", "x", error_code="enforced_spend_limit_reached"), Kind.QUOTA),
        (500, anthropic("api_error", "x"), Kind.SERVER_ERROR),
        (504, anthropic("timeout_error", "x"), Kind.SERVER_ERROR),
        (529, anthropic("overloaded_error", "Overloaded"), Kind.OVERLOADED),
        # Gemini
        (400, google("API key not valid.", "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}), Kind.AUTH),
        (400, [google("no", "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"})], Kind.AUTH),
        (400, google("Invalid value at 'contents'", "INVALID_ARGUMENT"), Kind.BAD_REQUEST),
        (
            400,
            google(
                "The input token count (9) exceeds the maximum number of tokens allowed (8).",
                "INVALID_ARGUMENT",
            ),
            Kind.CONTEXT_OVERFLOW,
        ),
        (
            400,
            google("User location is not supported for the API use.", "FAILED_PRECONDITION"),
            Kind.UNSUPPORTED,
        ),
        (400, google("This requires billing to be enabled.", "FAILED_PRECONDITION"), Kind.QUOTA),
        (403, google("x", "PERMISSION_DENIED"), Kind.AUTH),
        (
            404,
            google(
                "models/x is not found for API version v1beta, or is not supported for generateContent.",
                "NOT_FOUND",
            ),
            Kind.MODEL_MISSING,
        ),
        (
            429,
            google(
                "You exceeded your current quota.",
                "RESOURCE_EXHAUSTED",
                {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
            ),
            Kind.QUOTA,
        ),
        (
            429,
            google(
                "You exceeded your current quota.",
                "RESOURCE_EXHAUSTED",
                {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},
            ),
            Kind.RATE_LIMITED,
        ),
        (500, google("x", "INTERNAL"), Kind.SERVER_ERROR),
        (503, google("The model is overloaded.", "UNAVAILABLE"), Kind.OVERLOADED),
        (504, google("x", "DEADLINE_EXCEEDED"), Kind.SERVER_ERROR),
        # What a model or a server cannot do
        (500, message("tools param requires --jinja flag", type="server_error"), Kind.UNSUPPORTED),
        (500, message("image input is not supported - hint: you may need the mmproj"), Kind.UNSUPPORTED),
        (400, message("Assistant response prefill is incompatible with enable_thinking."), Kind.UNSUPPORTED),
        (400, message("Unrecognized request argument: continue_final_message"), Kind.UNSUPPORTED),
        (422, message("add_generation_prompt: extra inputs are not permitted"), Kind.UNSUPPORTED),
        (400, message("failed to parse grammar", type="invalid_request_error"), Kind.UNSUPPORTED),
        (403, message("this feature is disabled", type="feature_disabled"), Kind.UNSUPPORTED),
        (400, {"error": '"m" does not support tools'}, Kind.UNSUPPORTED),
        (404, message("No endpoints found that support tool use.", code=404), Kind.UNSUPPORTED),
        (404, message("No endpoints found matching your data policy.", code=404), Kind.MODEL_MISSING),
        (
            400,
            message('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
            Kind.UNSUPPORTED,
        ),
        (
            400,
            anthropic("invalid_request_error", "This model does not support assistant message prefill."),
            Kind.UNSUPPORTED,
        ),
        # LM Studio's own
        (
            400,
            message('Invalid model identifier "x". Please specify a valid downloaded model'),
            Kind.MODEL_MISSING,
        ),
        (400, {"error": "Model unloaded."}, Kind.SERVER_ERROR),
        (
            400,
            message(
                "Engine protocol predict request returned 400: " + "x" * 600 + " exceed_context_size_error"
            ),
            Kind.CONTEXT_OVERFLOW,
        ),
        # Who may call it by which name is the server's setting, not a key's matter
        (400, {"detail": "Invalid host header"}, Kind.SERVER_ERROR),
        (403, "Invalid host header", Kind.SERVER_ERROR),
        (502, "Proxy request to model failed: connection refused", Kind.SERVER_ERROR),
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
    assert "hunter2" not in str(refused(401, message("Malformed LM Studio API token provided: hunter2")))


@pytest.mark.parametrize(
    ("value", "kind", "status"),
    [
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            Kind.OVERLOADED,
            None,
        ),
        ({"error": {"code": "503", "message": "x"}}, Kind.OVERLOADED, 503),
        ({"error": {"http_status": 402, "message": "x"}}, Kind.QUOTA, 402),
        ({"error": {"code": 7, "message": "x"}}, Kind.SERVER_ERROR, None),
        ({"error": "server busy, please try again."}, Kind.OVERLOADED, None),
        ({"error": "an error was encountered while running the model"}, Kind.SERVER_ERROR, None),
        ({"StatusCode": 429, "error": "too many"}, Kind.RATE_LIMITED, 429),
        ([{"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}], Kind.OVERLOADED, 503),
        ({"object": "error", "message": "x", "code": 400}, Kind.BAD_REQUEST, 400),
    ],
)
def test_an_error_inside_a_200_is_understood(value: object, kind: Kind, status: int | None) -> None:
    error = error_in(value)
    assert is_error(value)
    assert (error.kind, error.status) == (kind, status)


@pytest.mark.parametrize("value", [None, "error", [], {}, {"error": None}, {"error": ""}, [{}, {"error": 1}]])
def test_what_is_no_error_is_none(value: object) -> None:
    assert not is_error(value)


@pytest.mark.parametrize(
    "key",
    [
        "sk-or-v1-0123456789abcdef0123456789abcdef",
        "sk-proj-Ab_9-cD",
        "sk-lm-abcd1234:ABCDEFGHIJKLMNOPQRST",
        "gsk_" + "a1B2" * 10,
        "AIzaSyA-1234567890abcdefghijklmnopqrstuv",
        "hf_abcdefghijklmnop",
        "0123456789abcdef0123456789abcdef",
        "QWxhZGRpbjpvcGVuIHNlc2FtZQ1x==",
    ],
)
@pytest.mark.parametrize(
    "text", ["cannot use {} here", "key={}", 'api key "{}" is bad', "Bearer {}.", "x" * 290 + " {}"]
)
def test_a_key_that_a_server_repeats_is_not_quoted(text: str, key: str) -> None:
    for error in (refused(500, message(text.format(key))), refused(400, text.format(key))):
        assert error.kind is not Kind.AUTH
        for start in range(len(key) - 8):
            assert key[start : start + 9] not in str(error)


def test_half_a_key_at_the_end_of_what_is_read_is_not_quoted() -> None:
    keys = ("sk-" + "a1b2c3d4" * 8 + " ") * 58
    for words in range(29):
        assert "a1b2" not in str(refused(500, message(keys + "y " * words + "a1b2c3d4" * 8)))


@pytest.mark.parametrize(
    "text",
    [
        "model meta-llama/Llama-4-Maverick-17B-128E-Instruct is slow",
        "request (928 tokens) exceeds 512 tokens",
        "parameter key presence_penalty: must be a number",
        "no slot for conversation 7",
    ],
)
def test_what_is_no_key_is_quoted(text: str) -> None:
    assert refused(500, message(text)).detail == f"It says: “{text}”"


def test_fastapis_complaints_name_the_field() -> None:
    entries = [{"loc": ["body", "n"], "msg": "field required"}, {"msg": "too short"}, 7]
    assert refused(422, {"detail": entries}).detail == "It says: “n: field required; too short”"


def test_the_wait_that_google_puts_into_the_body_is_read() -> None:
    assert refused(429, google("x", "RESOURCE_EXHAUSTED", {"retryDelay": "37s"})).retry_after == 37


def test_the_reset_time_of_a_limit_counts_only_where_the_limit_was_met() -> None:
    assert refused(429, message("slow"), **{"x-ratelimit-reset-requests": "20s"}).retry_after == 20
    assert refused(500, message("oops"), **{"x-ratelimit-reset-requests": "20s"}).retry_after is None


def test_the_wait_that_openrouter_puts_into_the_body_is_read() -> None:
    body = message("capacity", error_type="rate_limit_exceeded", availability={"retry_after": 40})
    assert refused(429, body).retry_after == 40
    assert error_in(body).retry_after == 40


def test_a_header_goes_before_the_body() -> None:
    assert (
        refused(429, message("x", availability={"retry_after": 40}), **{"retry-after": "2"}).retry_after == 2
    )


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
                    "details",
                    "violations",
                    "quotaId",
                    "retryDelay",
                    "status",
                    "loc",
                    "msg",
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
    for error in (error_of(status, {}, json.dumps(value).encode()), error_in(value)):
        assert error.retry_after is None or 0 <= error.retry_after <= 86_400
        assert len(error.detail) < 350
    is_error(value)
