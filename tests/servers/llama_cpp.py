"""A server that speaks like llama.cpp's llama-server, with one model or, by `--router`, as a router.

The traps: 503 "Loading model" on every path but / before the key is checked, `Server: llama.cpp`, a first
delta with `content: null`, `timings` and `usage` on the tail, HTTP 500 for malformed JSON, an answer
whatever model is asked for, /health that stays 200 while the model sleeps, an Ollama-like `models[]`
beside `data[]`, every refusal hangs up, an assistant message at the end is continued and *repeated* in the
answer (not in a stream that asks with `continue_final_message`), streams that outlive their client
(`llama_cpp_replay.py`). Constructed: the texts of 429, 402, 403, 500 and of prefill refused.
"""

import argparse
import time
from dataclasses import replace

from tests.servers.answers import count_prompt_tokens, messages_of
from tests.servers.asks import understand
from tests.servers.base import CONTEXT_EXAMPLE, Server
from tests.servers.http_wire import Request
from tests.servers.llama_cpp_dialect import (
    BUILD,
    CPP_ERROR,
    CPP_JSON,
    STREAM,
    WORDS,
    cpp_error,
    cpp_json,
    model_list,
    refused_prefill,
    streamed_answer,
    too_long,
    whole_answer,
)
from tests.servers.llama_cpp_replay import LARGEST_BUFFER, Replay
from tests.servers.model_specs import ModelSpec
from tests.servers.openai_dialect import Json, embeddings_response, retry_after, text_reaction
from tests.servers.reactions import HTML_PAGE, Live, Reaction, Response, Stream, json_response
from tests.servers.serving import main


class LlamaCpp(Server):
    """See the module's docstring."""

    name = "llama_cpp"
    common_headers = {
        "Server": "llama.cpp",
        "Access-Control-Allow-Origin": "",
        "Keep-Alive": "timeout=5, max=100",
    }
    idle_s = 5.0
    default_version = BUILD
    default_models = '["tiny"]'

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.sleeping: bool = options.sleeping
        self._loading_until: dict[str, float] = {}
        self._replay = None if options.no_replay else Replay(self.log.note, options.replay_bytes)

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Router mode, sleep, and the endpoints behind flags."""
        parser.add_argument("--router", action="store_true")
        parser.add_argument(
            "--no-autoload", action="store_true", help="the router loads on demand only by request"
        )
        parser.add_argument("--sleeping", action="store_true", help="the model was put to sleep before")
        parser.add_argument(
            "--load-seconds", type=float, default=0, help="to wake up, or for the router to load"
        )
        parser.add_argument(
            "--fails-to-load", default="", metavar="MODEL", help="the router cannot load this one"
        )
        parser.add_argument("--metrics", action="store_true")
        parser.add_argument("--embeddings", action="store_true")
        parser.add_argument("--prompt-seconds", type=float, default=0, help="to read the prompt")
        parser.add_argument("--no-echo", action="store_true", help="a continued answer is not repeated")
        parser.add_argument("--no-replay", action="store_true", help="a build without the replay buffer")
        parser.add_argument("--replay-bytes", type=int, default=LARGEST_BUFFER, metavar="N")
        parser.add_argument("--no-ui", action="store_true", help="404 on /")

    # --- routes -------------------------------------------------------------------------------------------

    def loading(self, request: Request) -> Response | None:
        """Every path but the page, /health too, says so."""
        if request.path == "/":
            return None
        return cpp_error("unavailable_error", "Loading model")

    def react(self, request: Request) -> Reaction:
        """The key, then the routes."""
        path, method = request.path, request.method
        if path == "/" and method == "GET":
            if self.options.no_ui:
                return cpp_error("not_found_error", "File Not Found")
            return Response(200, HTML_PAGE, {"Content-Type": "text/html; charset=utf-8"})
        if path in ("/health", "/v1/health") and method == "GET":
            return cpp_json({"status": "ok"})
        if self.key and self.key not in (request.bearer, request.headers.get("x-api-key")):
            return cpp_error("authentication_error", "Invalid API Key")
        if self.options.router:
            return self._route_router(request)
        model = self.models[0] if self.models else ModelSpec("tiny")
        match method, path:
            case "GET", "/v1/models" | "/models":
                return cpp_json(model_list(model))
            case "GET", "/props":
                return cpp_json(self._props(model))
            case "GET", "/slots":
                slot: Json = {"n_ctx": model.context_length, "speculative": False, "is_processing": False}
                return cpp_json([{"id": number, **slot} for number in range(4)])
            case "GET", "/metrics":
                return self._metrics()
            case "POST", "/v1/chat/completions" | "/chat/completions" | "/v1/completions":
                return self._chat(request, model)
            case "POST", "/v1/embeddings":
                return self._embed(request)
            case "GET" | "DELETE", "/v1/stream":
                return self._replayed(request)
            case "POST", "/v1/streams/lookup" if self._replay:
                wanted = request.fields().get("conversation_ids")
                return cpp_json(self._replay.look_up(wanted if isinstance(wanted, list) else []))
            case "POST", "/tokenize":
                words = str(request.fields().get("content", "")).split()
                return cpp_json({"tokens": list(range(len(words)))})
        return cpp_error("not_found_error", "File Not Found")

    def _embed(self, request: Request) -> Response:
        if not self.options.embeddings:
            text = "This server does not support embeddings. Start it with `--embeddings`"
            return cpp_error("not_supported_error", text)
        return embeddings_response(request, self.embeddings(request), CPP_JSON)

    def _replayed(self, request: Request) -> Reaction:
        """A stream again, or its end."""
        if self._replay is None:
            return cpp_error("not_found_error", "File Not Found")
        conversation = request.query.get("conv_id", "")
        if not conversation:
            return cpp_error("invalid_request_error", "Missing conversation id in path")
        if request.method == "DELETE":
            self._replay.drop(conversation)
            return Response(204, b"", {"Content-Type": "application/json"})
        session = self._replay.get(conversation)
        if session is None:
            return cpp_error("not_found_error", "File Not Found")
        offset = request.query.get("from", "0") or "0"
        if not offset.isdecimal():
            return cpp_error("invalid_request_error", "Invalid 'from' offset")
        if int(offset) < session.dropped:
            return cpp_error("invalid_request_error", "Stream offset lost, please restart")
        return Live(STREAM, session.read(int(offset)))

    def _metrics(self) -> Response:
        if not self.options.metrics:
            text = "This server does not support metrics endpoint. Start it with `--metrics`"
            return cpp_error("not_supported_error", text)
        text = "# TYPE llamacpp:prompt_tokens_total counter\nllamacpp:prompt_tokens_total 0\n"
        return Response(200, text.encode(), {"Content-Type": "text/plain; version=0.0.4"})

    # --- one model ----------------------------------------------------------------------------------------

    def _props(self, model: ModelSpec) -> Json:
        return {
            "default_generation_settings": {
                "params": {"temperature": 0.8, "top_k": 40, "top_p": 0.95},
                "n_ctx": model.context_length,
            },
            "total_slots": 4,
            "model_alias": model.id,
            "model_ftype": model.quantization,
            "model_path": f"models/{model.id}.gguf",
            "modalities": {"vision": "vision" in model.capabilities, "video": False, "audio": False},
            "media_marker": "<__media__>",
            "endpoint_slots": True,
            "endpoint_props": False,
            "endpoint_metrics": bool(self.options.metrics),
            "ui": True,
            "chat_template": "{% for message in messages %}{{ message.content }}{% endfor %}",
            "chat_template_caps": {},
            "bos_token": "<s>",
            "eos_token": "</s>",
            "build_info": self.version,
            "is_sleeping": self.sleeping,
            "cors_proxy_enabled": False,
        }

    def _chat(self, request: Request, model: ModelSpec, delay_s: float = 0) -> Reaction:
        try:
            request.json()
        except ValueError:
            text = (
                "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while "
                "parsing object key - invalid literal; last read: '{x'; expected string literal"
            )
            return cpp_error("server_error", text)
        body = request.fields()
        if request.path.endswith("/chat/completions") and "messages" not in body:
            return cpp_error("invalid_request_error", "'messages' is required")
        if not isinstance(body.get("messages", []), list):
            return self.refuse("bad_request_400", request, "")
        if refused := refused_prefill(messages_of(body), body):
            return refused
        prompt_tokens = count_prompt_tokens(messages_of(body))
        if prompt_tokens > model.context_length:
            return too_long(prompt_tokens, model.context_length)
        if self.sleeping:
            self.sleeping = False
            delay_s = self.options.load_seconds
        limits = ("max_completion_tokens", "max_tokens", "n_predict")
        answer = self.answer(request, model.id, limits, continues=True)
        if request.path == "/v1/completions":
            return replace(text_reaction(request, answer), delay_s=delay_s)
        echo = "" if self.options.no_echo else understand(body).prefill or ""
        prompt_s = self.options.prompt_seconds
        if not body.get("stream"):
            said = whole_answer(request, answer, self.version, echo=echo)
            return replace(said, delay_s=delay_s + prompt_s)
        echo = "" if body.get("continue_final_message") else echo
        stream = streamed_answer(request, answer, self.version, echo=echo, prompt_s=prompt_s)
        return self._kept(request, replace(stream, delay_s=stream.delay_s + delay_s))

    def _kept(self, request: Request, stream: Stream) -> Stream:
        """The stream, generated apart from its connection where the request names a conversation."""
        conversation = request.headers.get("x-conversation-id", "")
        if not conversation or self._replay is None:
            return stream
        made = stream
        if request.twist and request.twist.mode == "error_mid_stream":
            until = int(request.twist.number())
            made = replace(stream, tokens=stream.tokens[:until], closing=stream.error, done=b"")
        session = self._replay.begin(
            conversation,
            made,
            wait_s=stream.delay_s + self.options.first_token_delay,
            token_delay_s=self.options.token_delay,
        )
        return replace(stream, generation=session)

    # --- router -------------------------------------------------------------------------------------------

    def _route_router(self, request: Request) -> Reaction:
        match request.method, request.path:
            case "GET", "/props":
                autoload = not self.options.no_autoload
                return cpp_json({"role": "router", "max_instances": 4, "models_autoload": autoload})
            case "GET", "/v1/models" | "/models":
                return cpp_json({"data": [self._status_of(model) for model in self.models], "object": "list"})
            case "POST", "/models/load" | "/models/unload":
                return self._load_or_unload(request, load=request.path.endswith("/load"))
            case "POST", "/v1/chat/completions" | "/chat/completions" | "/v1/completions":
                return self._router_chat(request)
        return cpp_error("not_found_error", "File Not Found")

    def _is_loading(self, model: ModelSpec) -> bool:
        return self._loading_until.get(model.id, 0) > time.monotonic()

    def _status_of(self, model: ModelSpec) -> Json:
        asked = model.id in self._loading_until
        value = "loaded" if model.loaded else "unloaded"
        status: Json = {"value": value, "args": ["llama-server"], "preset": f"[{model.id}]"}
        if self._is_loading(model):
            status["value"] = "loading"
        elif asked and model.id == self.options.fails_to_load:
            status |= {"value": "unloaded", "exit_code": 1, "failed": True}
        elif model.loaded and self.sleeping:
            status["value"] = "sleeping"
        return {
            "id": model.id,
            "aliases": [],
            "tags": [],
            "object": "model",
            "owned_by": "llamacpp",
            "created": 1795246569,
            "status": status,
            "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
            "source": "models_dir",
            "can_remove": False,
        }

    def _begin_load(self, model: ModelSpec) -> None:
        self._loading_until[model.id] = time.monotonic() + self.options.load_seconds
        model.loaded = model.id != self.options.fails_to_load

    def _load_or_unload(self, request: Request, *, load: bool) -> Response:
        model = self.find(request.fields().get("model"))
        if model is None:
            return cpp_error("not_found_error", "File Not Found")
        if load == model.loaded:
            state = "already running" if load else "not running"
            return cpp_error("invalid_request_error", f"model is {state}")
        if load:
            self._begin_load(model)
        else:
            model.loaded = False
            self._loading_until.pop(model.id, None)
        return cpp_json({"success": True})

    def _router_chat(self, request: Request) -> Reaction:
        name = request.fields().get("model")
        if not name:
            return cpp_error("invalid_request_error", "model name is missing from the request")
        model = self.find(name)
        if model is None:
            return cpp_error("invalid_request_error", f"model '{name}' not found")
        autoload = request.query.get("autoload") != "false" and not self.options.no_autoload
        if not model.loaded:
            if not autoload:
                return cpp_error("invalid_request_error", "model is not loaded")
            self._begin_load(model)
        if not model.loaded:
            return cpp_error("server_error", f"model name={name} failed to load")
        left = self._loading_until.get(model.id, 0) - time.monotonic()
        return self._chat(request, model, delay_s=max(0.0, left))

    # --- refusals -----------------------------------------------------------------------------------------

    def refuse(self, kind: str, request: Request, arg: str) -> Response:
        """llama-server's words."""
        match kind:
            case "unauthorized_401":
                return cpp_error("authentication_error", "Invalid API Key")
            case "not_found_404_model":
                return cpp_error("not_found_error", "File Not Found")
            case "context_400":
                return too_long(*CONTEXT_EXAMPLE)
            case "rate_429" | "quota_429" | "payment_402":
                status = int(kind[-3:])
                error = {"code": status, "message": kind, "type": "server_error"}
                return json_response({"error": error}, status, {**CPP_ERROR, **retry_after(arg)})
        return cpp_error(*WORDS[kind])


SERVER = LlamaCpp

if __name__ == "__main__":
    main(LlamaCpp)
