"""A server that speaks like the Gemini API: /v1beta/models (or /v1) and the methods of a model.

The traps: a bad key is status 400 (INVALID_ARGUMENT, told apart by API_KEY_INVALID), a rate limit says when
to come back in RetryInfo and not in a header, errors may come as a list of one (always in place of an array
stream, everywhere with `--list-errors`), a stream has no event names, CR LF and no end mark and is one JSON
array without `alt=sse`, a prompt that is not accepted is a 200 without candidates, unknown fields refused,
and calls have to come back with their signature (from Gemini 3 on). Constructed: the texts of 402, tools,
vision and schema refused, crashed and out_of_memory.
"""

import argparse
import re

from tests.servers.answers import Answer, count_prompt_tokens, embedding_of, messages_of, token_limit
from tests.servers.asks import content_text
from tests.servers.base import CONTEXT_EXAMPLE, Server
from tests.servers.gemini_checks import complaint, generation_of
from tests.servers.gemini_dialect import (
    JSON_UTF8,
    bad_key,
    content_response,
    content_stream,
    error_object,
    error_response,
    model_entry,
    quota,
    retry_info,
)
from tests.servers.http_wire import Request
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import Json
from tests.servers.reactions import Reaction, Response, json_response
from tests.servers.serving import main

KEY = "gemini-test-key"
API = re.compile(r"/v1(?:beta)?/models(?:/([^/:]+)(?::(\w+))?)?")
OVERLOADED = "The model is overloaded. Please try again later."
INTERNAL = "An internal error has occurred. Please retry or report in https://developers.generativeai.google/"
# kind: status, message
WORDS = {
    "busy_503": (503, OVERLOADED),
    "error_500": (500, INTERNAL),
    "crashed": (500, INTERNAL),
    "out_of_memory": (500, INTERNAL),
    "payment_402": (402, "Billing is not enabled for this project."),
    "forbidden_403_moderation": (403, "Your project has been denied access. Please contact support."),
    "not_found_404_model": (
        404,
        "models/{model} is not found for API version v1beta, or is not supported for generateContent. Call "
        "ListModels to see the list of available models and their supported methods.",
    ),
    "context_400": (
        400,
        "The input token count ({asked}) exceeds the maximum number of tokens allowed ({there}).",
    ),
    "bad_request_400": (400, "* GenerateContentRequest.contents: contents is not specified\n"),
    "tools_refused": (400, "Function calling is not enabled for models/{model}"),
    "vision_refused": (400, "Image input modality is not enabled for models/{model}"),
    "schema_refused": (400, "JSON mode is not enabled for models/{model}"),
    "prefill_refused": (
        400,
        "Please ensure that function call turn comes immediately after a user turn or after a function "
        "response turn.",
    ),
}
PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"


class Gemini(Server):
    """See the module's docstring."""

    name = "gemini"
    common_headers = {"Server": "scaffolding on HTTPServer2", "X-Content-Type-Options": "nosniff"}
    default_models = (
        '[{"id": "gemini-2.5-flash", "context_length": 1048576, '
        '"capabilities": ["completion", "tools", "vision", "thinking"]}, '
        '{"id": "gemini-3.8-flash", "context_length": 1048576, '
        '"capabilities": ["completion", "tools", "vision", "thinking"]}, '
        '{"id": "gemini-embedding-001", "embedding": true, "context_length": 2048}]'
    )

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.key = self.key or KEY

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """In which form errors come."""
        parser.add_argument("--list-errors", action="store_true", help="every error is a list of one")

    def react(self, request: Request) -> Reaction:
        """The key, then the models and their methods."""
        given = request.headers.get("x-goog-api-key") or request.query.get("key")
        if not given:
            return self._error(
                error_object(
                    403,
                    "Method doesn't allow unregistered callers (callers without established identity). "
                    "Please use API Key or other form of API consumer identity to call this API.",
                ),
                request,
            )
        if given != self.key:
            return self.refuse("unauthorized_401", request, "")
        found = API.fullmatch(request.path)
        if found is None:
            return Response(404, b"", {"Content-Type": "text/html; charset=UTF-8"})
        if found[1] is None and request.method == "GET":
            return self._listed(request)
        model = self.find(found[1])
        if model is None:
            return self.refuse("not_found_404_model", request, "")
        match request.method, found[2]:
            case "GET", None:
                return json_response(model_entry(model), headers=JSON_UTF8)
            case "POST", "generateContent" | "streamGenerateContent":
                return self._content(request, model, streamed=found[2].startswith("stream"))
            case "POST", "countTokens":
                total = count_prompt_tokens(messages_of(request.fields()))
                return json_response({"totalTokens": total}, headers=JSON_UTF8)
            case "POST", "batchEmbedContents":
                return self._embeddings(request)
        return self.refuse("not_found_404_model", request, "")

    def _listed(self, request: Request) -> Response:
        """A page of the models: `pageSize` (50) of them from `pageToken` on."""
        start = int(request.query.get("pageToken") or 0)
        end = start + int(request.query.get("pageSize") or 50)
        page: Json = {"models": [model_entry(model) for model in self.models[start:end]]}
        if end < len(self.models):
            page["nextPageToken"] = str(end)
        return json_response(page, headers=JSON_UTF8)

    def _content(self, request: Request, model: ModelSpec, *, streamed: bool) -> Reaction:
        body = request.fields()
        if "embedding" in model.capabilities:
            return self.refuse("not_found_404_model", request, "")
        if wrong := complaint(body, model.id):
            return self._error(wrong, request)
        prompt_tokens = count_prompt_tokens(messages_of(body))
        if prompt_tokens > model.context_length:
            return self._too_long(request, prompt_tokens, model.context_length)
        answer, thoughts = self._answer(request, model)
        ids = generation_of(model.id) >= (3, 0)
        if not streamed:
            broken = self.refuse("error_500", request, "")
            return content_response(request, answer, ids=ids, thoughts=thoughts, broken=broken)
        as_sse = request.query.get("alt") == "sse"
        return content_stream(request, answer, ids=ids, thoughts=thoughts, as_sse=as_sse)

    def _answer(self, request: Request, model: ModelSpec) -> tuple[Answer, bool]:
        """The answer, and whether its thoughts are shown: they cost tokens in any case."""
        config = request.fields().get("generationConfig")
        settings: Json = config if isinstance(config, dict) else {}
        thinking = settings.get("thinkingConfig")
        chosen: Json = thinking if isinstance(thinking, dict) else {}
        limit = token_limit(settings, "maxOutputTokens")
        thinks = chosen.get("thinkingBudget") != 0
        answer = self.answer(request, model.id, reasoning=thinks, limit=limit)
        return answer, chosen.get("includeThoughts") is True

    def _embeddings(self, request: Request) -> Response:
        given = request.fields().get("requests")
        vectors = []
        for each in given if isinstance(given, list) else []:
            text = content_text(each.get("content", {}).get("parts"))
            wanted = each.get("outputDimensionality") or self.options.dimensions
            vectors.append({"values": embedding_of(text, wanted)})
        return json_response({"embeddings": vectors}, headers=JSON_UTF8)

    # --- refusals -----------------------------------------------------------------------------------------

    def refuse(self, kind: str, request: Request, arg: str) -> Response:
        """Google's words."""
        if kind == "context_400":
            return self._too_long(request, *CONTEXT_EXAMPLE)
        if kind == "unauthorized_401":
            text = "API key not valid. Please pass a valid API key."
            return self._error(error_object(400, text, bad_key()), request)
        if kind in ("rate_429", "quota_429"):
            text = (
                "You exceeded your current quota, please check your plan and billing details. For more "
                "information on this error, head over to: https://ai.google.dev/gemini-api/docs/rate-limits."
            )
            limit = quota(PER_DAY if kind == "quota_429" else PER_MINUTE)
            return self._error(error_object(429, text, limit, retry_info(f"{arg or 37}s")), request)
        status, message = WORDS.get(kind, WORDS["error_500"])
        asked = API.fullmatch(request.path)
        return self._error(error_object(status, message.format(model=asked and asked[1])), request)

    def _too_long(self, request: Request, asked: int, there: int) -> Response:
        status, message = WORDS["context_400"]
        return self._error(error_object(status, message.format(asked=asked, there=there)), request)

    def _error(self, value: Json, request: Request) -> Response:
        array = request.path.endswith(":streamGenerateContent") and request.query.get("alt") != "sse"
        return error_response(value, as_list=array or self.options.list_errors)


SERVER = Gemini

if __name__ == "__main__":
    main(Gemini)
