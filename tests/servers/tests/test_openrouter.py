"""OpenRouter's bytes and traps."""

import base64
import hashlib
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.servers.fixtures import ServerFactory
from tests.servers.probe import Seen, call

KEY = {"Authorization": "Bearer sk-or-v1-test"}
API = "/api/v1"


def chat(url: str, **fields: object) -> Seen:
    body = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]} | fields
    return call(url, "POST", f"{API}/chat/completions", body, KEY)


def test_models_need_no_key_and_have_prices_as_text(servers: ServerFactory) -> None:
    seen = call(servers("openrouter").url, "GET", f"{API}/models").json()
    paid, free = seen["data"]
    assert paid["pricing"]["prompt"] == "0.00000015"
    assert free["pricing"]["prompt"] == "0"
    assert seen["total_count"] == 2


def test_the_key_is_checked_and_described(servers: ServerFactory) -> None:
    url = servers("openrouter", "--key-info", '{"limit": 10, "limit_remaining": 0}').url
    assert call(url, "GET", f"{API}/key").json()["error"] == {
        "code": 401,
        "message": "Missing Authentication header",
    }
    assert call(url, "GET", f"{API}/key", headers={"Authorization": "Bearer sk-or-v1-wrong"}).status == 401
    data = call(url, "GET", f"{API}/key", headers=KEY).json()["data"]
    assert (data["limit"], data["limit_remaining"], data["limit_reset"]) == (10, 0, None)
    assert "sk-or-v1-test" not in data["label"]
    credits = call(url, "GET", f"{API}/credits", headers=KEY)
    assert (credits.status, credits.json()["error"]["code"]) == (403, 403)


def test_a_stream_has_comments_and_usage_at_its_end(servers: ServerFactory) -> None:
    seen = chat(servers("openrouter").url, stream=True)
    assert seen.text.startswith(": OPENROUTER PROCESSING\n\n")
    assert seen.headers["x-generation-id"] == seen.events()[0]["id"]
    *_, finish, usage = seen.events()
    assert finish["choices"][0]["native_finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"]["cost"] == 0.00000255  # 5 tokens in, 3 out


def test_models_is_an_ordered_fallback(servers: ServerFactory) -> None:
    seen = chat(servers("openrouter").url, models=["acme/none", "meta-llama/llama-3.2-3b-instruct:free"])
    assert seen.json()["model"] == "meta-llama/llama-3.2-3b-instruct:free"
    unknown = chat(servers("openrouter").url, model="acme/fake-1.0")
    assert (unknown.status, unknown.json()["error"]["message"]) == (
        400,
        "acme/fake-1.0 is not a valid model ID",
    )


def test_errors_after_the_start_come_under_status_200(servers: ServerFactory) -> None:
    new = chat(servers("openrouter", "--fault", "error_mid_stream:1").url, stream=True)
    last = new.events()[-1]
    assert (new.status, last["error"]["code"], last["choices"][0]["finish_reason"]) == (200, 429, "error")
    old = servers("openrouter", "--fault", "error_mid_stream:1", "--string-error-code")
    assert chat(old.url, stream=True).events()[-1]["error"]["code"] == "server_error"


def test_refusals_carry_type_headers_and_reasons(servers: ServerFactory) -> None:
    server = servers("openrouter", "--fault", "rate_429:12")
    limited = chat(server.url)
    assert (limited.headers["retry-after"], limited.headers["x-ratelimit-remaining"]) == ("12", "0")
    assert limited.json()["error"]["metadata"]["error_type"] == "rate_limit_exceeded"
    server.set_fault("rate_429", "40:availability")
    error = chat(server.url).json()["error"]
    assert "code" not in error
    assert (error["http_status"], error["availability"]["retry_after"]) == (429, 40)
    server.set_fault("forbidden_403_moderation")
    assert chat(server.url).json()["error"]["metadata"]["reasons"] == ["violence"]
    server.set_fault("payment_402")
    assert chat(server.url).json()["error"]["code"] == 402


def test_the_sign_in_gives_a_key_once_and_only_to_the_right_verifier(servers: ServerFactory) -> None:
    url = servers("openrouter").url
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()

    def code() -> str:
        query = {
            "callback_url": "http://localhost:5/cb",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        back = call(url, "GET", f"/auth?{urlencode(query)}")
        assert back.status == 302
        assert back.headers["location"].startswith("http://localhost:5/cb?code=")
        return parse_qs(urlsplit(back.headers["location"]).query)["code"][0]

    def exchange(code: str, verifier: str, method: str = "S256") -> Seen:
        body = {"code": code, "code_verifier": verifier, "code_challenge_method": method}
        return call(url, "POST", f"{API}/auth/keys", body)

    given = code()
    assert exchange(given, "wrong").json()["error"]["message"] == "Invalid code or code_verifier"
    assert exchange(given, verifier, "S512").status == 400
    assert exchange(given, verifier).json() == {"key": "sk-or-v1-test", "user_id": "user_test"}
    assert exchange(given, verifier).status == 403
    assert call(url, "GET", f"{API}/auth/keys").status == 405


def test_a_code_expires(servers: ServerFactory) -> None:
    url = servers("openrouter", "--code-lifetime", "0").url
    said = call(url, "GET", "/auth?code_challenge=abc&code_challenge_method=plain").text
    body = {
        "code": said.removeprefix("Your code: "),
        "code_verifier": "abc",
        "code_challenge_method": "plain",
    }
    assert (
        call(url, "POST", f"{API}/auth/keys", body).json()["error"]["message"] == "Authorization code expired"
    )


def test_late_errors_have_numbers_or_words(servers: ServerFactory) -> None:
    server = servers("openrouter")
    for code in (402, 403, 429, 502, 503):
        server.set_fault("error_mid_stream", f"1:{code}")
        last = chat(server.url, stream=True).events()[-1]
        assert (last["error"]["code"], last["choices"][0]["finish_reason"]) == (code, "error")
        assert last["error"]["metadata"]["error_type"]
    server.set_fault("error_mid_stream", "1:server_error")
    assert chat(server.url, stream=True).events()[-1]["error"]["code"] == "server_error"


def test_what_is_full_or_down_says_when_to_come_back_without_a_code(servers: ServerFactory) -> None:
    server = servers("openrouter")
    for kind, status, code in (
        ("rate_429", 429, "capacity_exhausted"),
        ("busy_503", 503, "temporarily_unavailable"),
    ):
        server.set_fault(kind, "40:availability")
        seen = chat(server.url)
        error = seen.json()["error"]
        assert (seen.status, error["http_status"], "code" in error) == (status, status, False)
        assert (error["availability"]["code"], error["availability"]["retry_after"]) == (code, 40)
        assert seen.headers["retry-after"] == "40"


def test_a_variant_is_the_model_with_another_route(servers: ServerFactory) -> None:
    url = servers("openrouter").url
    assert chat(url, model="openai/gpt-4o-mini:nitro").status == 200
    assert chat(url, model="nobody/nothing:nitro").status == 400


def test_prices_decide_what_an_answer_costs(servers: ServerFactory) -> None:
    models = [{"id": "a/dear", "prompt_price": "0.5", "completion_price": "2"}, "a/gift:free"]
    url = servers("openrouter", "--cached-tokens", "2", models=models).url
    usage = chat(url, model="a/dear").json()["usage"]
    assert usage["cost"] == 5 * 0.5 + 3 * 2
    assert usage["prompt_tokens_details"] == {"cached_tokens": 2, "cache_write_tokens": 0}
    assert chat(url, model="a/gift:free").json()["usage"]["cost"] == 0
