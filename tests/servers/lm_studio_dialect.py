"""LM Studio's own shapes and words, as functions of a model or an answer."""

from collections.abc import Sequence

from tests.servers.answers import Answer
from tests.servers.lm_studio_instances import Instance
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import EVENT_STREAM, Json
from tests.servers.reactions import Response, Stream, json_response, sse

EXPRESS_JSON = {"Content-Type": "application/json; charset=utf-8"}
NO_KEY = (
    "An LM Studio API token is required to make requests to this server, but none was provided using the "
    "Authorization header using the 'Bearer' scheme. Ensure you are using a valid token."
)
BAD_KEY = "Malformed LM Studio API token provided: {token}. Ensure you are using a valid token."
NOTHING_LOADED = "No models loaded. Please load a model in the developer page or use the 'lms load' command."
WORDS: dict[str, tuple[int, object]] = {
    "busy_503": (503, {"error": "The server is busy. Please try again later."}),
    "error_500": (500, {"error": "Internal server error."}),
    "crashed": (
        400,
        {"error": "The model has crashed without additional information. (Exit code: 18446744072635812000)"},
    ),
    "out_of_memory": (
        400,
        {
            "error": {
                "message": "Failed to load model. Model loading was stopped due to insufficient system "
                "resources."
            }
        },
    ),
    "rate_429": (429, {"error": "Too many requests."}),
    "payment_402": (402, {"error": "Payment required."}),
    "quota_429": (429, {"error": "Quota exceeded."}),
    "forbidden_403_moderation": (403, {"error": "Forbidden."}),
    "tools_refused": (400, {"error": "Model does not support tools."}),
    "vision_refused": (400, {"error": "Model does not support images. Please use a model that does."}),
    "schema_refused": (400, {"error": "Structured output is not supported by this model."}),
    "prefill_refused": (400, {"error": "The last message must be from the user."}),
    "bad_request_400": (400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}),
}


def express_json(value: object, status: int = 200) -> Response:
    """JSON with the headers Express sends."""
    return json_response(value, status, EXPRESS_JSON)


def native_error(status: int, kind: str, message: str, code: str) -> Response:
    """An error of /api/v1."""
    return express_json({"error": {"type": kind, "message": message, "code": code, "param": "model"}}, status)


def listed(model: ModelSpec) -> Json:
    """An entry of /v1/models: neither state nor kind is told."""
    return {"id": model.id, "object": "model", "owned_by": "organization_owner"}


def load_config(instance: Instance) -> Json:
    """What an instance was loaded with."""
    config: Json = {"context_length": instance.context_length}
    if not instance.model.embedding:
        config |= {"eval_batch_size": 512, "parallel": 4, "flash_attention": True}
        config |= {"offload_kv_cache_to_gpu": True}
    return config


def described(model: ModelSpec, instances: Sequence[Instance]) -> Json:
    """An entry of /api/v1/models."""
    publisher = model.id.split("/")[0] if "/" in model.id else "lmstudio-community"
    entry: Json = {
        "type": "embedding" if model.embedding else "llm",
        "publisher": publisher,
        "key": model.id,
        "display_name": model.id.rsplit("/", 1)[-1],
        "quantization": {"name": model.quantization, "bits_per_weight": 4},
        "size_bytes": model.size_bytes,
        "params_string": None if model.embedding else model.parameter_size,
        "loaded_instances": [{"id": each.id, "config": load_config(each)} for each in instances],
        "max_context_length": model.max_context_length,
        "format": "gguf",
    }
    if not model.embedding:
        entry["architecture"] = model.family
        entry["capabilities"] = {
            "vision": "vision" in model.capabilities,
            "trained_for_tool_use": "tools" in model.capabilities,
            **(
                {"reasoning": {"allowed_options": ["off", "on"], "default": "on"}}
                if "thinking" in model.capabilities
                else {}
            ),
        }
        entry["description"] = None
        entry["variants"] = [f"{model.id}@{model.quantization.lower()}"]
        entry["selected_variant"] = f"{model.id}@{model.quantization.lower()}"
    if model.device:
        entry["deviceIdentifier"] = model.device
    return entry


def legacy_described(model: ModelSpec, instances: Sequence[Instance], *, loading: bool) -> Json:
    """An entry of /api/v0/models: it knows one instance of a model."""
    kind = "embeddings" if model.embedding else "vlm" if "vision" in model.capabilities else "llm"
    loading = model.loaded and loading
    entry: Json = {
        "id": model.id,
        "object": "model",
        "type": kind,
        "publisher": "lmstudio-community",
        "arch": model.family,
        "compatibility_type": "gguf",
        "quantization": model.quantization,
        "state": "loading" if loading else "loaded" if model.loaded else "not-loaded",
        "max_context_length": model.max_context_length,
    }
    if model.loaded and not loading:
        entry["loaded_context_length"] = instances[0].context_length
    if "tools" in model.capabilities:
        entry["capabilities"] = ["tool_use"]
    return entry


def legacy_extra(answer: Answer, instance: Instance) -> Json:
    """What /api/v0/chat/completions adds to OpenAI's answer."""
    model = instance.model
    return {
        "stats": {
            "tokens_per_second": 51.43,
            "time_to_first_token": 0.111,
            "generation_time": 0.954,
            "stop_reason": "maxPredictedTokensReached" if answer.finish_reason == "length" else "eosFound",
        },
        "model_info": {
            "arch": model.family,
            "quant": model.quantization,
            "format": "gguf",
            "context_length": instance.context_length,
        },
        "runtime": {
            "name": "llama.cpp-linux-x86_64-avx2",
            "version": "1.3.0",
            "supported_formats": ["gguf"],
        },
    }


def native_result(answer: Answer, load_s: float) -> Json:
    """The whole answer of /api/v1/chat."""
    output = [{"type": "reasoning", "content": "".join(answer.reasoning)}] if answer.reasoning else []
    output.append({"type": "message", "content": answer.text})
    stats: Json = {
        "input_tokens": answer.prompt_tokens,
        "total_output_tokens": answer.completion_tokens,
        "reasoning_output_tokens": len(answer.reasoning),
        "tokens_per_second": 43.7,
        "time_to_first_token_seconds": 0.78,
    }
    if load_s:
        stats["model_load_time_seconds"] = load_s
    return {
        "model_instance_id": answer.model,
        "output": output,
        "stats": stats,
        "response_id": "resp_1",
    }


def native_stream(answer: Answer, result: Json, load_s: float) -> Stream:
    """The named events of /api/v1/chat."""

    def event(kind: str, **fields: object) -> bytes:
        return sse({"type": kind, **fields}, kind)

    instance: Json = {"model_instance_id": answer.model}
    start = event("chat.start", **instance)
    loading: list[bytes] = []
    if load_s:
        loading = [
            start + event("model_load.start", **instance),
            *(event("model_load.progress", **instance, progress=part / 4) for part in range(1, 5)),
            event("model_load.end", **instance, load_time_seconds=load_s),
        ]
    opening = [] if loading else [start]
    opening += [event("prompt_processing.start"), event("prompt_processing.progress", progress=1.0)]
    opening += [event("prompt_processing.end")]
    thought = [event("reasoning.delta", content=token) for token in answer.reasoning]
    if thought:
        thought[0] = event("reasoning.start") + thought[0]
        thought[-1] += event("reasoning.end")
    said_tokens = [event("message.delta", content=token) for token in answer.tokens]
    crash: Json = {
        "type": "internal_error",
        "message": "The model has crashed.",
        "code": "internal_error",
    }
    return Stream(
        EVENT_STREAM,
        tuple(opening),
        (*thought, *((event("message.start") + said_tokens[0], *said_tokens[1:]) if said_tokens else ())),
        (event("message.end"), event("chat.end", result=result)),
        error=(event("error", error=crash), event("chat.end", result=result)),
        reading=tuple(loading),
        reading_s=load_s,
    )
