"""The Gemini server's bytes and traps."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.servers.fixtures import ServerFactory
from tests.servers.probe import Seen, call

KEY = {"x-goog-api-key": "gemini-test-key"}
OLD, NEW = "gemini-2.5-flash", "gemini-3.8-flash"
STREAM = "streamGenerateContent?alt=sse"
ADD = {"functionDeclarations": [{"name": "add", "description": "", "parametersJsonSchema": {}}]}
HI = {"role": "user", "parts": [{"text": "hi"}]}


def post(
    url: str,
    method: str = "generateContent",
    *,
    model: str = NEW,
    headers: Mapping[str, str] = KEY,
    **fields: object,
) -> Seen:
    return call(url, "POST", f"/v1beta/models/{model}:{method}", {"contents": [HI]} | fields, headers)


def error(seen: Seen) -> dict[str, Any]:
    value: dict[str, Any] = seen.json()["error"]
    assert seen.status == value["code"]
    return value


def test_an_answer_has_candidates_with_parts(servers: ServerFactory) -> None:
    seen = post(servers("gemini", "--cached-tokens", "2").url)
    (candidate,) = seen.json()["candidates"]
    assert candidate["content"] == {"parts": [{"text": "You said: hi"}], "role": "model"}
    assert candidate["finishReason"] == "STOP"
    assert seen.json()["usageMetadata"] == {
        "promptTokenCount": 5,
        "candidatesTokenCount": 3,
        "cachedContentTokenCount": 2,
        "totalTokenCount": 8,
    }


def test_a_stream_has_no_names_crlf_and_no_end_mark(servers: ServerFactory) -> None:
    seen = post(servers("gemini", "--answer", "a b").url, STREAM)
    assert seen.headers["content-type"] == "text/event-stream"
    events = [json.loads(event.removeprefix("data: ")) for event in seen.text.split("\r\n\r\n") if event]
    assert [event["candidates"][0].get("finishReason") for event in events] == [None, None, "STOP"]
    assert "event:" not in seen.text
    assert "\n" not in seen.text.replace("\r\n", "")


def test_without_alt_sse_a_stream_is_one_array_and_so_are_its_errors(servers: ServerFactory) -> None:
    server = servers("gemini", "--answer", "a b")
    seen = post(server.url, "streamGenerateContent")
    assert seen.headers["content-type"].startswith("application/json")
    assert [each["candidates"][0]["content"]["parts"][0]["text"] for each in seen.json()] == ["a", " b", ""]
    server.set_fault("error_mid_stream", 1)
    assert post(server.url, "streamGenerateContent").json()[-1]["error"]["status"] == "UNAVAILABLE"
    server.set_fault("busy_503")
    assert post(server.url, "streamGenerateContent").json()[0]["error"]["code"] == 503


def test_a_bad_key_is_a_bad_request_and_no_key_is_forbidden(servers: ServerFactory) -> None:
    server = servers("gemini")
    bad = error(post(server.url, headers={"x-goog-api-key": "wrong"}))
    assert (bad["code"], bad["status"], bad["details"][0]["reason"]) == (
        400,
        "INVALID_ARGUMENT",
        "API_KEY_INVALID",
    )
    assert error(post(server.url, headers={}))["status"] == "PERMISSION_DENIED"
    assert call(server.url, "GET", "/v1beta/models?key=gemini-test-key").status == 200


def test_a_rate_limit_says_in_its_details_when_to_come_back(servers: ServerFactory) -> None:
    server = servers("gemini", "--fault", "rate_429:12")
    seen = post(server.url)
    limit, retry = error(seen)["details"]
    assert (retry["retryDelay"], "retry-after" in seen.headers) == ("12s", False)
    assert "PerMinute" in limit["violations"][0]["quotaId"]
    server.set_fault("quota_429")
    assert "PerDay" in error(post(server.url))["details"][0]["violations"][0]["quotaId"]


def test_errors_may_come_as_a_list_of_one(servers: ServerFactory) -> None:
    seen = post(servers("gemini", "--list-errors", "--fault", "error_500").url)
    (only,) = seen.json()
    assert (seen.status, only["error"]["status"]) == (500, "INTERNAL")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": []}, 'Unknown name "messages"'),
        ({"generationConfig": {"max_tokens": 1}}, 'Unknown name "max_tokens"'),
        ({"contents": []}, "contents is not specified"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role: user, model"),
        ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}},
            "only one of",
        ),
        ({"generationConfig": {"responseJsonSchema": {}}}, "must be application/json"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "without function_declarations"),
        ({"tools": [{"functionDeclarations": [{"name": "1 2"}]}]}, "Invalid function name"),
    ],
)
def test_what_it_does_not_take_it_refuses(servers: ServerFactory, fields: dict[str, Any], words: str) -> None:
    refused = error(post(servers("gemini").url, **fields))
    assert refused["status"] == "INVALID_ARGUMENT"
    assert words in refused["message"]


def test_a_model_thinks_at_a_level_or_within_a_budget(servers: ServerFactory) -> None:
    url = servers("gemini").url
    level: dict[str, Any] = {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}
    assert post(url, **level).status == 200
    assert "not supported" in error(post(url, model=OLD, **level))["message"]


def test_calls_must_come_back_signed_and_answered(servers: ServerFactory) -> None:
    url = servers("gemini", "--tool-call", "add:{}").url
    part = post(url, tools=[ADD]).json()["candidates"][0]["content"]["parts"][0]
    assert part["functionCall"]["id"]
    result = {"functionResponse": {"name": "add", "response": {"output": "3"}}}

    def again(call_part: object, *results: object) -> Seen:
        turns = [HI, {"role": "model", "parts": [call_part]}, {"role": "user", "parts": list(results)}]
        return post(url, contents=turns, tools=[ADD])

    answer = again(part, result).json()["candidates"][0]["content"]["parts"][0]["text"]
    assert answer == "add said: 3"
    unsigned = {"functionCall": part["functionCall"]}
    assert "missing a thought_signature" in error(again(unsigned, result))["message"]
    assert "Corrupted" in error(again({**part, "thoughtSignature": "eA=="}, result))["message"]
    assert "number of function response parts" in error(again(part, {"text": "3"}))["message"]
    older = post(url, model=OLD, tools=[ADD]).json()["candidates"][0]["content"]["parts"][0]
    assert (set(older), set(older["functionCall"])) == ({"functionCall"}, {"name", "args"})


def test_thoughts_cost_tokens_and_are_shown_on_request(servers: ServerFactory) -> None:
    url = servers("gemini", "--reasoning", "so it is").url
    silent = post(url).json()
    assert silent["usageMetadata"]["thoughtsTokenCount"] == 3
    assert len(silent["candidates"][0]["content"]["parts"]) == 1
    shown = post(url, generationConfig={"thinkingConfig": {"includeThoughts": True}}).json()
    thought, said = shown["candidates"][0]["content"]["parts"]
    assert (thought, "thought" in said) == ({"text": "so it is", "thought": True}, False)


@pytest.mark.parametrize("method", ["generateContent", STREAM])
def test_a_prompt_that_is_not_accepted_is_a_200_without_candidates(
    servers: ServerFactory, method: str
) -> None:
    server = servers("gemini", "--fault", "refusal")
    seen = post(server.url, method)
    said = seen.events()[0] if method == STREAM else seen.json()
    assert (seen.status, said["promptFeedback"]["blockReason"]) == (200, "PROHIBITED_CONTENT")
    assert "candidates" not in said
    server.set_fault("content_filter")
    seen = post(server.url, method)
    said = seen.events()[-1] if method == STREAM else seen.json()
    assert said["candidates"][0]["finishReason"] == "SAFETY"


def test_models_come_in_pages_and_say_what_they_can_do(servers: ServerFactory) -> None:
    url = servers("gemini").url
    first = call(url, "GET", "/v1beta/models?pageSize=2", headers=KEY).json()
    assert [model["name"] for model in first["models"]] == [f"models/{OLD}", f"models/{NEW}"]
    rest = call(url, "GET", f"/v1beta/models?pageToken={first['nextPageToken']}", headers=KEY).json()
    assert "generateContent" not in rest["models"][0]["supportedGenerationMethods"]
    assert "nextPageToken" not in rest
    assert error(post(url, model="gemini-none"))["status"] == "NOT_FOUND"
    assert call(url, "GET", "/v1/chat", headers=KEY).status == 404
