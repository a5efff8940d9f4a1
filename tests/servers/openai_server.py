"""What servers that speak OpenAI's API have in common."""

from typing import ClassVar

from tests.servers.answers import count_prompt_tokens, messages_of
from tests.servers.base import Server
from tests.servers.http_wire import Request
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import (
    Json,
    chat_head,
    chat_response,
    chat_stream,
    embeddings_response,
    error_object,
    generic_refusal,
    text_reaction,
    wants_usage,
)
from tests.servers.reactions import Reaction, Response, json_response, sse

CREATED = 1755800000


class OpenAIServer(Server):
    """The common core; subclasses change the list, the words and the paths around it.

    `api` is what comes before /models and /chat/completions.
    """

    api: ClassVar[tuple[str, ...]] = ("/v1",)
    owned_by: ClassVar[str] = "organization"
    reasoning_field: ClassVar[str] = "reasoning_content"

    # --- routes -------------------------------------------------------------------------------------------

    def react(self, request: Request) -> Reaction:
        """The key, then the API, then whatever else this server has."""
        if self.key and self.guards(request) and request.bearer != self.key:
            return self.unauthorized(request)
        for prefix in self.api:
            if request.path.startswith(prefix + "/"):
                found = self.api_route(request, request.path.removeprefix(prefix))
                if found is not None:
                    return found
        return self.other_route(request) or self.missing(request)

    def api_route(self, request: Request, route: str) -> Reaction | None:
        """The paths under the API's prefix."""
        match request.method, route:
            case "GET", "/models":
                return json_response(self.model_list())
            case "POST", "/chat/completions" | "/completions":
                return self.chat(request)
            case "POST", "/embeddings":
                return self.embed(request)
        return None

    def other_route(self, request: Request) -> Reaction | None:
        """Paths outside the API."""
        return None

    def guards(self, request: Request) -> bool:
        """Whether this request needs the key."""
        return request.path.startswith(tuple(prefix + "/" for prefix in self.api))

    def unauthorized(self, request: Request) -> Response:
        """What a wrong key hears."""
        return self.refuse("unauthorized_401", request, "")

    def missing(self, request: Request) -> Response:
        """What an unknown path hears."""
        return error_object(404, f"Invalid URL ({request.method} {request.path})", "invalid_request_error")

    # --- models and chat ----------------------------------------------------------------------------------

    def model_list(self) -> Json:
        """The list of models."""
        return {"object": "list", "data": [self.entry(model) for model in self.models]}

    def entry(self, model: ModelSpec) -> Json:
        """One entry of the list."""
        return {"id": model.id, "object": "model", "created": CREATED, "owned_by": self.owned_by}

    def pick(self, name: object) -> ModelSpec | None:
        """The model that answers for this name."""
        return self.find(name)

    def chat(self, request: Request) -> Reaction:
        """A chat completion."""
        body = request.fields()
        if not messages_of(body):
            return self.refuse("bad_request_400", request, "")
        model = self.pick(body.get("model"))
        if model is None:
            return self.refuse("not_found_404_model", request, "")
        prompt_tokens = count_prompt_tokens(messages_of(body))
        if prompt_tokens > model.context_length:
            return generic_refusal("context_400", request, "", prompt_tokens, model.context_length)
        answer = self.answer(request, model.id)
        if not request.path.endswith("/chat/completions"):
            return text_reaction(request, answer)
        broken = self.refuse("error_500", request, "")
        field = self.options.reasoning_field or self.reasoning_field
        if not body.get("stream"):
            head = chat_head(request, answer, streamed=False)
            return chat_response(answer, head, reasoning_field=field, details=True, broken=broken)
        in_band = {"error": {"message": "Internal server error", "type": "server_error", "code": 500}}
        head = chat_head(request, answer, streamed=True)
        return chat_stream(
            answer,
            head,
            usage=wants_usage(body),
            details=True,
            reasoning_field=field,
            whole_calls=self.options.tool_style == "whole",
            error=(sse(in_band),),
        )

    def embed(self, request: Request) -> Reaction:
        """Embeddings of the texts."""
        if self.pick(request.fields().get("model")) is None:
            return self.refuse("not_found_404_model", request, "")
        return embeddings_response(request, self.embeddings(request))

    def refuse(self, kind: str, request: Request, arg: str) -> Response:
        """OpenAI's words."""
        return generic_refusal(kind, request, arg)
