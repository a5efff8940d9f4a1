"""What a chat request asks for, understood alike in every dialect: OpenAI, Ollama, Anthropic and Gemini."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Json = dict[str, object]

# What an image begins with, for dialects that send bytes without their type.
MAGIC = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}


@dataclass(frozen=True)
class ToolResult:
    """What a tool gave, as text."""

    name: str
    text: str


@dataclass(frozen=True)
class Ask:
    """A request in no dialect.

    `said` and `images` (media types) are the last user message's; `tools` are the names that may be called
    now; `results` are the tool results that end the conversation; `answered` says whether any came since the
    person spoke; `prefill` is the text of a last message that is the assistant's, None where it is not;
    `schema` is the JSON schema of the answer ({} for any JSON, None where none is asked for).
    """

    said: str
    images: tuple[str, ...]
    tools: tuple[str, ...]
    results: tuple[ToolResult, ...]
    answered: bool
    prefill: str | None
    schema: Mapping[str, object] | None


def parts_of(content: object) -> list[Json]:
    """The typed parts of a content; a plain text is one part."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, list):
        return [part if isinstance(part, dict) else {"type": "text", "text": str(part)} for part in content]
    return []


def content_text(content: object) -> str:
    """The text of a message content, plain or a list of typed parts. Thoughts are not text."""
    parts = (part for part in parts_of(content) if not part.get("thought"))
    return "".join(str(part.get("text") or "") for part in parts)


def messages_of(body: Mapping[str, object]) -> list[Json]:
    """The messages of a chat request, or its `prompt` or `input` as one user message.

    Gemini's `contents` come as messages too: `parts` as content, "model" as "assistant".
    """
    messages = body.get("messages")
    if isinstance(messages, list):
        return [message for message in messages if isinstance(message, dict)]
    contents = body.get("contents")
    if isinstance(contents, list):
        return [
            {
                "role": "assistant" if each.get("role") == "model" else "user",
                "content": each.get("parts") or [],
            }
            for each in contents
            if isinstance(each, dict)
        ]
    for name in ("prompt", "input"):
        if name in body:
            return [{"role": "user", "content": body[name], "images": body.get("images")}]
    return []


def count_prompt_tokens(messages: Sequence[Mapping[str, object]]) -> int:
    """Words plus four for each message: a rule that tests can compute, not a tokenizer."""
    return sum(len(content_text(message.get("content")).split()) + 4 for message in messages)


def understand(body: Mapping[str, object]) -> Ask:
    """What this request asks for."""
    messages = messages_of(body)
    names = _call_names(messages)
    spoken = [n for n, each in enumerate(messages) if each.get("role") == "user" and not _results(each, {})]
    last_spoken = messages[spoken[-1]] if spoken else {}
    after = messages[spoken[-1] + 1 :] if spoken else messages
    ending: list[ToolResult] = []
    for message in reversed(after):
        results = _results(message, names)
        if not results:
            break
        ending[:0] = results
    last = messages[-1] if messages else {}
    is_prefill = last.get("role") == "assistant" and not last.get("tool_calls")
    return Ask(
        said=content_text(last_spoken.get("content")),
        images=_images(last_spoken),
        tools=_tools(body),
        results=tuple(ending),
        answered=any(_results(message, names) for message in after),
        prefill=content_text(last.get("content")) if is_prefill else None,
        schema=_schema(body),
    )


def has_images(body: Mapping[str, object]) -> bool:
    """Whether any message carries an image."""
    return any(_images(message) for message in messages_of(body))


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


# --- images -----------------------------------------------------------------------------------------------


def _images(message: Mapping[str, object]) -> tuple[str, ...]:
    bare = [_sniffed(str(image)) for image in _list(message.get("images"))]
    typed = [kind for part in parts_of(message.get("content")) if (kind := _image_type(part))]
    return (*bare, *typed)


def _image_type(part: Json) -> str | None:
    if part.get("type") == "image_url":
        link = part.get("image_url")
        return _data_url_type(str(_object(link).get("url", link)))
    if part.get("type") == "image":
        source = _object(part.get("source"))
        return str(source.get("media_type") or _data_url_type(str(part.get("data_url", ""))))
    for name in ("inlineData", "inline_data"):
        if inline := _object(part.get(name)):
            return str(inline.get("mimeType") or inline.get("mime_type"))
    return None


def _data_url_type(url: str) -> str:
    return url.removeprefix("data:").split(";")[0] if url.startswith("data:") else "link"


def _sniffed(data: str) -> str:
    try:
        first = base64.b64decode(data[:16])
    except binascii.Error:
        return "unknown"
    return next((kind for magic, kind in MAGIC.items() if first.startswith(magic)), "unknown")


# --- tools ------------------------------------------------------------------------------------------------


def _tools(body: Mapping[str, object]) -> tuple[str, ...]:
    choice = body.get("tool_choice")
    kind = _object(choice).get("type", choice)
    config = _object(_object(body.get("toolConfig")).get("functionCallingConfig"))
    if kind == "none" or config.get("mode") == "NONE":
        return ()
    names: list[object] = []
    for tool in map(_object, _list(body.get("tools"))):
        declared = _list(tool.get("functionDeclarations") or tool.get("function_declarations"))
        names += [_object(each).get("name") for each in declared]
        names.append(_object(tool.get("function")).get("name") or tool.get("name"))
    only = _object(_object(choice).get("function")).get("name") or _object(choice).get("name")
    return tuple(str(name) for name in names if name and only in (None, name))


def _call_names(messages: Sequence[Json]) -> dict[str, str]:
    """The name of every call the assistant made, by its id."""
    names: dict[str, str] = {}
    for message in messages:
        for call in map(_object, _list(message.get("tool_calls"))):
            names[str(call.get("id"))] = str(_object(call.get("function")).get("name"))
        for part in parts_of(message.get("content")):
            if part.get("type") == "tool_use":
                names[str(part.get("id"))] = str(part.get("name"))
    return names


def _results(message: Mapping[str, object], names: Mapping[str, str]) -> list[ToolResult]:
    content = message.get("content")
    if message.get("role") == "tool":
        name = message.get("tool_name") or message.get("name")
        name = name or names.get(str(message.get("tool_call_id")), "tool")
        return [ToolResult(str(name), content_text(content))]
    found = []
    for part in parts_of(content):
        if part.get("type") == "tool_result":
            name = names.get(str(part.get("tool_use_id")), "tool")
            found.append(ToolResult(name, content_text(part.get("content"))))
        elif given := _object(part.get("functionResponse") or part.get("function_response")):
            found.append(ToolResult(str(given.get("name")), _response_text(given.get("response"))))
    return found


def _response_text(response: object) -> str:
    """Gemini wants an object; the field `result` or `output` of it, where it has one, is the text."""
    fields = _object(response)
    said = fields.get("result", fields.get("output", response))
    return said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)


# --- structured output ------------------------------------------------------------------------------------


def _schema(body: Mapping[str, object]) -> Mapping[str, object] | None:
    wanted = _object(body.get("response_format"))
    if wanted.get("type") in ("json_schema", "json_object"):
        return _object(_object(wanted.get("json_schema")).get("schema") or wanted.get("schema"))
    if body.get("format"):
        return _object(body["format"])  # "json" has no schema
    config = _object(body.get("generationConfig"))
    for name in ("responseJsonSchema", "responseSchema"):
        if name in config:
            return _object(config[name])
    if config.get("responseMimeType") == "application/json":
        return {}
    for holder in (_object(_object(body.get("output_config")).get("format")), body.get("output_format")):
        if _object(holder).get("type") == "json_schema":
            return _object(_object(holder).get("schema"))
    return None


def smallest(schema: Mapping[str, object]) -> object:
    """The smallest value a JSON schema admits; an empty schema gives an object."""
    return _smallest(schema or {"type": "object"}, schema, depth=0)


def _smallest(schema: Mapping[str, object], root: Mapping[str, object], depth: int) -> object:
    if depth > 32 or "const" in schema:
        return schema.get("const")
    if isinstance(reference := schema.get("$ref"), str):
        found: object = root
        for step in reference.removeprefix("#/").split("/"):
            found = _object(found).get(step)
        return _smallest(_object(found), root, depth + 1)
    for name in ("enum", "anyOf", "oneOf", "allOf"):
        if choices := _list(schema.get(name)):
            return choices[0] if name == "enum" else _smallest(_object(choices[0]), root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "null")
    kind = str(kind[0] if isinstance(kind, list) else kind).lower()
    if kind == "object":
        properties = _object(schema.get("properties"))
        return {
            str(name): _smallest(_object(properties.get(str(name))), root, depth + 1)
            for name in _list(schema.get("required"))
        }
    if kind == "array":
        return [_smallest(_object(schema.get("items")), root, depth + 1)] * _number(schema, "minItems")
    if kind == "string":
        return "x" * _number(schema, "minLength")
    if kind in ("integer", "number"):
        return max(_number(schema, "minimum"), _number(schema, "exclusiveMinimum", -1) + 1)
    return False if kind == "boolean" else None


def _number(schema: Mapping[str, object], name: str, default: int = 0) -> int:
    value = schema.get(name)
    return int(value) if isinstance(value, int | float) else default
