"""The Gemini generateContent dialect: values to JSON and back. No I/O.

What differs from OpenAI's: the model stands in the path, the system prompt is a field of its own, the
assistant's role is "model", an answer is a list of parts, and a stream has no end mark: a finish reason, and
the bytes end. Without `alt=sse` it is one JSON array of the same chunks.

Models up to 2.5 think within a budget of tokens, later ones at a level, and a request that names both is
refused, so that the model's name decides. From 3 on, the first call of a turn has to come back with the
signature it was sent with (`ToolCall.signature`); calls that another maker's model wrote get the word that
Google documents for such histories.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import (
    BackendEvent,
    Embeddings,
    ErrorKind,
    GenerationConfig,
    Message,
    ModelInfo,
    ReasoningDelta,
    Role,
    StreamEnd,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from whisper_desktop.wire import fields
from whisper_desktop.wire.calls import WholeCalls, arguments_of
from whisper_desktop.wire.decoding import Json, StreamDecoder, not_an_answer
from whisper_desktop.wire.errors import error_in, is_error
from whisper_desktop.wire.sse import SSEReader
from whisper_desktop.wire.text import text_of
from whisper_desktop.wire.vectors import vectors_of

# What of `GenerationConfig.extra` belongs beside "generationConfig"; everything else goes into it.
_TOP_LEVEL = frozenset({"safetySettings", "cachedContent", "labels", "serviceTier", "store"})

_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
_WITHHELD = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "ESCALATION",
        "MODEL_ARMOR",
    }
)
_GAVE_UP = frozenset(
    {
        "OTHER",
        "LANGUAGE",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
        "IMAGE_OTHER",
        "NO_IMAGE",
    }
)
# The tokens that Google itself gives each level of the OpenAI dialect.
_BUDGETS = {"low": 1024, "medium": 8192, "high": 24_576}
_SMALLEST_PRO_BUDGET = 128
_GENERATION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_SIGNATURE = re.compile(r"[A-Za-z0-9+/_=-]+")
_NO_SIGNATURE = "skip_thought_signature_validator"


def chat_path(model: str, stream: bool = True) -> str:
    """The path of a chat request below the API's base."""
    return _path(model, "streamGenerateContent?alt=sse" if stream else "generateContent")


def embeddings_path(model: str) -> str:
    """The path of a request for embeddings below the API's base."""
    return _path(model, "batchEmbedContents")


def encode_chat(messages: Sequence[Message], config: GenerationConfig, model: str = "") -> Json:
    """The body of a chat request. `model` only decides about thinking and signatures: it stands in the path.

    Of `config.extra`, `safetySettings` and the like stand beside the generation config, the rest in it.
    """
    body: Json = {name: value for name, value in config.extra.items() if name in _TOP_LEVEL}
    system = "\n\n".join(each.content for each in messages if each.role is Role.SYSTEM and each.content)
    if system:
        body["systemInstruction"] = {"parts": [{"text": system}]}
    body["contents"] = _contents(messages, signed=_generation(model) >= (3, 0))
    if config.tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in config.tools]}]
        if config.tool_choice is not None:
            body["toolConfig"] = {"functionCallingConfig": _tool_choice(config.tool_choice)}
    generation = _generation_config(config, model)
    if generation:
        body["generationConfig"] = generation
    return body


def encode_embeddings(texts: Sequence[str], model: str) -> Json:
    """The body of a request for embeddings."""
    name = "models/" + model.removeprefix("models/")
    return {"requests": [{"model": name, "content": {"parts": [{"text": text}]}} for text in texts]}


def decode_embeddings(value: object) -> Embeddings:
    """The answer to a request for embeddings, which does not say whose they are. Raises `BackendError`."""
    if is_error(value):
        raise error_in(value)
    answer = fields.table(value)
    listed = answer.get("embeddings")
    vectors = [fields.table(each).get("values") for each in listed] if isinstance(listed, list) else None
    counts = fields.table(answer.get("usageMetadata"))
    usage = Usage(prompt_tokens=fields.count(counts.get("promptTokenCount")))
    return Embeddings(vectors_of(vectors), None, usage)


def decode_models(value: object) -> tuple[ModelInfo, ...]:
    """The models of `GET /models` that chat or embed. Raises `BackendError`."""
    if is_error(value):
        raise error_in(value)
    listed = fields.table(value).get("models")
    if not isinstance(listed, list):
        raise BackendError(
            ErrorKind.NOT_AN_LLM,
            tr("There is no list of models at this address."),
            tr("Another kind of program answers here."),
            tr("Check the address; Google's ends in /v1beta."),
        )
    return tuple(model for model in map(_model, listed) if model is not None)


class ChatDecoder(StreamDecoder):
    """Decodes one answer of generateContent or streamGenerateContent."""

    def __init__(self) -> None:
        super().__init__(SSEReader())
        self._calls = WholeCalls()
        self._counts: Json = {}

    def end(self) -> StreamEnd:
        """See `StreamDecoder`."""
        counts = {name: fields.count(value) for name, value in self._counts.items()}
        written, thought = counts.get("candidatesTokenCount"), counts.get("thoughtsTokenCount")
        self._usage = Usage(
            prompt_tokens=counts.get("promptTokenCount"),
            completion_tokens=None
            if written is None and thought is None
            else (written or 0) + (thought or 0),
            cached_prompt_tokens=counts.get("cachedContentTokenCount"),
            reasoning_tokens=thought,
        )
        return super().end()

    def _whole(self, value: object) -> Iterator[BackendEvent]:
        chunks = value if isinstance(value, list) else [value]
        if not chunks or not all(map(_is_chunk, chunks)):
            raise not_an_answer()
        for chunk in chunks:
            yield from self._chunk(fields.table(chunk), "")

    def _chunk(self, chunk: Json, name: str) -> Iterator[BackendEvent]:
        candidates = chunk.get("candidates")
        candidate = candidates[0] if isinstance(candidates, list) and candidates else None
        if not isinstance(candidate, dict):
            candidate = {}
            self._refusal(chunk)
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            event = self._part(part, chunk) if isinstance(part, dict) else None
            if event is not None:
                yield event
        # Running totals: the last are the ones that count.
        counts = chunk.get("usageMetadata")
        if isinstance(counts, dict):
            self._counts = counts
        if self.model is None:
            self.model = fields.name(chunk.get("modelVersion"))
        if "finishReason" in candidate:
            self._finish(candidate)

    def _part(self, part: Json, chunk: Json) -> BackendEvent | None:
        text = text_of(part.get("text"))
        if text:
            return ReasoningDelta(text) if part.get("thought") is True else TextDelta(text)
        function = part.get("functionCall")
        if not isinstance(function, dict):
            return None
        return self._calls.take(
            function.get("name"),
            function.get("args"),
            id=function.get("id"),
            answer_id=chunk.get("responseId"),
            signature=part.get("thoughtSignature"),
        )

    def _finish(self, candidate: Json) -> None:
        reason = fields.name(candidate.get("finishReason"))
        if reason is None or reason == "FINISH_REASON_UNSPECIFIED":
            return
        message = fields.name(candidate.get("finishMessage"))
        if reason in _WITHHELD:
            raise _withheld(tr("The answer was withheld by a content filter."), reason, message)
        if reason in _GAVE_UP:
            raise BackendError(
                ErrorKind.SERVER_ERROR,
                tr("The model gave up in the middle of the answer."),
                tr("It says: “{part}”", part=message or reason),
                tr("Try again, or use another model."),
            )
        finish = _FINISH.get(reason, reason.lower())
        self._finish_reason = "tool_calls" if finish == "stop" and self._calls.number else finish

    def _refusal(self, chunk: Json) -> None:
        """A chunk without an answer may be an error, or say that the prompt was not accepted."""
        if is_error(chunk):
            raise error_in(chunk)
        feedback = fields.table(chunk.get("promptFeedback"))
        reason = fields.name(feedback.get("blockReason"))
        if reason is not None:
            message = fields.name(feedback.get("blockReasonMessage"))
            raise _withheld(tr("The question was not accepted by a content filter."), reason, message)


def _is_chunk(value: object) -> bool:
    return isinstance(value, dict) and (
        is_error(value) or any(name in value for name in ("candidates", "promptFeedback", "usageMetadata"))
    )


def _withheld(title: str, reason: str, message: str | None) -> BackendError:
    return BackendError(
        ErrorKind.CONTENT_FILTER,
        title,
        tr("The server says: “{part}”", part=message or reason),
        tr("Put the question in another way."),
    )


def _path(model: str, method: str) -> str:
    return f"/models/{quote(model.removeprefix('models/'), safe='')}:{method}"


def _generation(model: str) -> tuple[int, int]:
    """(2, 5) for gemini-2.5-flash; a name without a number is that of the newest, as gemini-flash-latest."""
    found = _GENERATION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def _contents(messages: Sequence[Message], *, signed: bool) -> list[Json]:
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    turns: list[tuple[str, list[Json]]] = []
    for message in messages:
        parts = _parts(message, names, signed=signed)
        role = "model" if message.role is Role.ASSISTANT else "user"
        if parts and turns and turns[-1][0] == role:
            turns[-1][1].extend(parts)
        elif parts:
            turns.append((role, parts))
    return [{"role": role, "parts": parts} for role, parts in turns]


def _parts(message: Message, names: Mapping[str, str], *, signed: bool) -> list[Json]:
    if message.role is Role.SYSTEM:
        return []
    parts: list[Json] = [
        {"inlineData": {"mimeType": image.media_type, "data": base64.b64encode(image.data).decode()}}
        for image in message.images
    ]
    if message.role is Role.TOOL:
        name = message.name or names.get(message.tool_call_id, "")
        found = fields.parsed(message.content)
        result = found if isinstance(found, dict) else {"output": message.content}
        response: Json = {"name": name, "response": result}
        if message.tool_call_id:
            response["id"] = message.tool_call_id
        return [{"functionResponse": response}, *parts]
    if message.content:
        parts.append({"text": message.content})
    calls = [_call(call) for call in message.tool_calls]
    if signed and calls and not any("thoughtSignature" in call for call in calls):
        calls[0]["thoughtSignature"] = _NO_SIGNATURE
    return [*parts, *calls]


def _call(call: ToolCall) -> Json:
    body: Json = {"name": call.name, "args": arguments_of(call)}
    if call.id:
        body["id"] = call.id
    # What another maker's model wants back would be refused here.
    ours = _SIGNATURE.fullmatch(call.signature)
    return {"functionCall": body, **({"thoughtSignature": call.signature} if ours else {})}


def _tool(tool: ToolSpec) -> Json:
    body: Json = {"name": tool.name, "description": tool.description}
    return body | {"parametersJsonSchema": dict(tool.parameters)} if tool.parameters else body


def _tool_choice(choice: str) -> Json:
    modes = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
    return {"mode": modes[choice]} if choice in modes else {"mode": "ANY", "allowedFunctionNames": [choice]}


def _generation_config(config: GenerationConfig, model: str) -> Json:
    given = config.extra.get("generationConfig")
    generation: Json = dict(given) if isinstance(given, Mapping) else {}
    reserved = _TOP_LEVEL | {"generationConfig", "contents", "systemInstruction", "tools", "toolConfig"}
    generation |= {name: value for name, value in config.extra.items() if name not in reserved}
    chosen: Json = {
        "temperature": config.temperature,
        "topP": config.top_p,
        "maxOutputTokens": config.max_tokens,
        "seed": config.seed,
        "stopSequences": list(config.stop) or None,
        "responseMimeType": None if config.json_schema is None else "application/json",
        "responseJsonSchema": None if config.json_schema is None else dict(config.json_schema),
        "thinkingConfig": _thinking(config.reasoning, model),
    }
    return generation | {name: value for name, value in chosen.items() if value is not None}


def _thinking(reasoning: str | None, model: str) -> Json | None:
    generation = _generation(model)
    if reasoning is None or generation < (2, 5):
        return None
    if generation < (3, 0):
        least = _SMALLEST_PRO_BUDGET if "pro" in model else 0
        budget = least if reasoning == "off" else _BUDGETS.get(reasoning, _BUDGETS["medium"])
        return {"thinkingBudget": budget, "includeThoughts": reasoning != "off"}
    if reasoning == "off":
        # These cannot be silenced; the flash models come closest.
        return {"thinkingLevel": "MINIMAL" if "flash" in model else "LOW", "includeThoughts": False}
    return {"thinkingLevel": reasoning.upper(), "includeThoughts": True}


def _model(entry: object) -> ModelInfo | None:
    listed = fields.table(entry)
    name = (fields.name(listed.get("name")) or "").removeprefix("models/")
    methods = listed.get("supportedGenerationMethods")
    able = methods if isinstance(methods, list) else []
    if not name or not ("generateContent" in able or "embedContent" in able):
        return None
    context = fields.count(listed.get("inputTokenLimit"))
    return ModelInfo(
        id=name,
        context_length=context,
        max_context_length=context,
        capabilities=() if "generateContent" in able else ("embedding",),
    )
