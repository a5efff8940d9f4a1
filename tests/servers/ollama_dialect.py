"""Ollama's native shapes, which several other servers imitate."""

import hashlib
from collections.abc import Callable, Sequence

from tests.servers.answers import Answer, ToolUse
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import Json
from tests.servers.reactions import Reaction, Response, Stream, json_response, ndjson

OLLAMA_JSON = {"Content-Type": "application/json; charset=utf-8"}
NDJSON = {"Content-Type": "application/x-ndjson"}
NOW = "2025-06-04T14:38:31.83753-07:00"


def full_name(name: str) -> str:
    """The name with its tag, as Ollama stores it."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def digest_of(model: ModelSpec) -> str:
    """64 hex digits that belong to the model's name."""
    return hashlib.sha256(model.id.encode()).hexdigest()


def details_of(model: ModelSpec) -> Json:
    """The details object of tags, ps and show."""
    return {
        "parent_model": "",
        "format": "" if model.remote_host else "gguf",
        "family": model.family,
        "families": [model.family],
        "parameter_size": model.parameter_size,
        "quantization_level": model.quantization,
    }


def tag_of(model: ModelSpec, *, capabilities: bool = True) -> Json:
    """One entry of /api/tags."""
    tag: Json = {"name": full_name(model.id), "model": full_name(model.id)}
    tag |= elsewhere(model)
    tag |= {
        "modified_at": "2025-05-10T08:06:48.639712648-07:00",
        "size": 384 if model.remote_host else model.size_bytes,
        "digest": digest_of(model),
        "details": details_of(model),
    }
    if capabilities:
        tag["capabilities"] = list(model.capabilities)
    return tag


def called(call: ToolUse, index: int) -> Json:
    """A call in Ollama's form: whole, and its arguments are an object."""
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": call.fields}}


def elsewhere(model: ModelSpec) -> Json:
    """Where a model runs that Ollama only passes on; nothing for one of its own."""
    if not model.remote_host:
        return {}
    return {"remote_model": model.remote_model or model.id, "remote_host": model.remote_host}


def chat_reaction(
    answer: Answer,
    *,
    streamed: bool,
    generate: bool = False,
    delay_s: float = 0,
    broken: Response | None = None,
    error_text: str = "model runner has unexpectedly stopped",
    passed_on: Json | None = None,
) -> Reaction:
    """/api/chat or, with `generate`, /api/generate: NDJSON lines or one object.

    `passed_on` is what each of them says of a model that runs somewhere else.
    """

    def piece(content: str, thinking: str, more: Json, calls: Sequence[Json] = ()) -> Json:
        line: Json = {"model": answer.model, **(passed_on or {}), "created_at": NOW}
        if generate:
            line |= {"response": content, **({"thinking": thinking} if thinking else {})}
        else:
            said: Json = {"role": "assistant", "content": content}
            said |= {"thinking": thinking} if thinking else {}
            line["message"] = said | {"tool_calls": list(calls)} if calls else said
        return line | {"done": False} | more

    end: Json = {
        "done": True,
        "done_reason": "length" if answer.finish_reason == "length" else "stop",
        "total_duration": 4883583458,
        "load_duration": 1334875,
        "prompt_eval_count": answer.prompt_tokens,
        "prompt_eval_duration": 342546000,
        "eval_count": answer.completion_tokens,
        "eval_duration": 23_000_000 * max(1, answer.completion_tokens),
    }
    if generate:
        end["context"] = [1, 2, 3]
    calls = [called(call, index) for index, call in enumerate(answer.tool_calls)]
    if not streamed:
        body = json_response(piece(answer.text, "".join(answer.reasoning), end, calls)).body
        return Response(200, body, OLLAMA_JSON, delay_s, answer.completion_tokens, broken)
    return Stream(
        NDJSON,
        opening=(),
        tokens=(
            *(ndjson(piece("", token, {})) for token in answer.reasoning),
            *(ndjson(piece(token, "", {})) for token in answer.tokens),
            *(ndjson(piece("", "", {}, [call])) for call in calls),
        ),
        closing=(ndjson(piece("", "", end)),),
        error=(ndjson({"error": error_text}),),
        delay_s=delay_s,
    )


def pull_stream(model: str, at_end: Callable[[], None], pause_s: float, error: str) -> Stream:
    """/api/pull: progress of two layers, then success; with `error` the late failure under status 200.

    A piece that broke off is counted back, as the real one does before it fetches the piece again.
    """
    layers = (("dde5aa3fc5ff", 2_019_377_376), ("966de95ca8a6", 1429))
    lines: list[Json] = []
    for short, total in layers:
        layer: Json = {"status": f"pulling {short}", "digest": f"sha256:{short:0<64}", "total": total}
        lines += [layer, *(layer | {"completed": done} for done in (total // 3, total // 4, total))]
    lines += [{"status": "verifying sha256 digest"}, {"status": "writing manifest"}]
    failure = (ndjson({"error": error or "pull model manifest: file does not exist"}),)
    opening = (ndjson({"status": "pulling manifest"}),)
    if error:
        return Stream(NDJSON, opening, (), failure, error=failure, delay_s=pause_s)
    pieces = tuple(ndjson(line) for line in lines)
    done = (ndjson({"status": "success"}),)
    return Stream(NDJSON, opening, pieces, done, error=failure, delay_s=pause_s, at_end=at_end)


def embedded(model: object, vectors: Sequence[list[float]], spent: int) -> Json:
    """The answer of /api/embed."""
    return {
        "model": model,
        "embeddings": list(vectors),
        "total_duration": 14143917,
        "load_duration": 1019500,
        "prompt_eval_count": spent,
    }


def error_text(message: str, status: int) -> Response:
    """Ollama's `{"error": "..."}`."""
    return json_response({"error": message}, status, OLLAMA_JSON)


def plain_json(value: object, status: int = 200) -> Response:
    """JSON with the header gin sends."""
    return json_response(value, status, OLLAMA_JSON)
