"""What the Anthropic Messages API refuses with status 400, and in which words.

The words are those that users reported, where they are known; the others are constructed in the same style,
`field: what is wrong`.
"""

import re
from collections.abc import Iterator, Mapping

from tests.servers.anthropic_dialect import signature_of
from tests.servers.asks import parts_of
from tests.servers.openai_dialect import Json

VERSIONS = ("2023-06-01", "2026-10-21")
FIELDS = frozenset(
    {
        "model", "messages", "max_tokens", "cache_control", "container", "diagnostics", "inference_geo",
        "metadata", "output_config", "output_format", "service_tier", "speed", "stop_sequences", "stream",
        "system", "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p",
    }
)  # fmt: skip
SAMPLING = ("temperature", "top_p", "top_k")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def complaint(body: Mapping[str, object], version: str) -> str | None:
    """What is wrong with a request, None for a good one."""
    return next(_complaints(body, version), None)


def generation_of(model: object) -> tuple[int, int]:
    """The age of a model by its name; the newest without a number."""
    found = re.search(r"(?<!\d)(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)", str(model))
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def always_thinks(model: object) -> bool:
    """Whether thinking cannot be switched off, and tools cannot be forced."""
    return generation_of(model) >= (5, 5) or "fable" in str(model)


def _complaints(body: Mapping[str, object], version: str) -> Iterator[str]:
    for name in body:
        if name not in FIELDS:
            yield f"{name}: Extra inputs are not permitted"
    for name in ("max_tokens", "messages"):
        if name not in body:
            yield f"{name}: Field required"
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        yield "messages: at least one message is required"
        return
    limit = body.get("max_tokens")
    if not isinstance(limit, int) or limit < 0:
        yield "max_tokens: Input should be a valid integer"
        return
    yield from _sampling(body, version)
    yield from _thinking(body, limit)
    yield from _tools(body)
    yield from _messages(body)
    yield from _stops(body)


def _sampling(body: Mapping[str, object], version: str) -> Iterator[str]:
    given = [name for name in SAMPLING if name in body]
    if given and (version != VERSIONS[0] or generation_of(body.get("model")) >= (4, 7)):
        yield f"`{given[0]}` is deprecated for this model."
    if "temperature" in given and "top_p" in given:
        yield "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    if given and _table(body.get("thinking")).get("type") == "enabled" and body.get("temperature") != 1:
        yield "`temperature` may only be set to 1 when thinking is enabled."


def _thinking(body: Mapping[str, object], limit: int) -> Iterator[str]:
    thinking, model = _table(body.get("thinking")), body.get("model")
    kind, age = thinking.get("type"), generation_of(model)
    output = _table(body.get("output_config"))
    if kind not in (None, "enabled", "disabled", "adaptive", "between_tools"):
        yield "thinking.type: Input tag is not one of the expected"
    elif kind and ((kind == "adaptive") != (age >= (4, 6)) and kind != "disabled"):
        yield (
            f'"thinking.type.{kind}" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    elif kind == "disabled" and always_thinks(model):
        yield '"thinking.type.disabled" is not supported for this model.'
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < 1024:
            yield "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
        elif budget >= limit:
            yield "`max_tokens` must be greater than `thinking.budget_tokens`."
    if output.get("effort") is not None and (output["effort"] not in EFFORTS or age < (4, 5)):
        yield "output_config.effort: This model does not support the effort parameter."


def _tools(body: Mapping[str, object]) -> Iterator[str]:
    tools, choice = body.get("tools"), _table(body.get("tool_choice"))
    for number, tool in enumerate(tools if isinstance(tools, list) else []):
        if _table(_table(tool).get("input_schema")).get("type") != "object":
            yield f"tools.{number}.custom.input_schema.type: Field required"
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", str(_table(tool).get("name"))):
            yield f"tools.{number}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
    if choice and not tools:
        yield "tool_choice: tool_choice may only be specified while providing tools."
    if choice.get("type") in ("any", "tool"):
        if _table(body.get("thinking")).get("type") == "enabled":
            yield "Thinking may not be enabled when tool_choice forces tool use."
        if always_thinks(body.get("model")):
            yield f"tool_choice.type: '{choice['type']}' is not supported for this model."


def _stops(body: Mapping[str, object]) -> Iterator[str]:
    stops = body.get("stop_sequences")
    if any(not str(text).strip() for text in (stops if isinstance(stops, list) else [])):
        yield "stop_sequences: each stop sequence must contain non-whitespace"


def _messages(body: Mapping[str, object]) -> Iterator[str]:
    messages = body["messages"]
    assert isinstance(messages, list)
    waiting: set[str] = set()
    spoke = [number for number, each in enumerate(messages) if _table(each).get("role") == "assistant"]
    for number, message in enumerate(map(_table, messages)):
        role = message.get("role")
        if role not in ("user", "assistant"):
            yield f'messages: Unexpected role "{role}". Use the top-level `system` parameter.'
        blocks = parts_of(message.get("content"))
        if not blocks:
            yield f"messages.{number}: user messages must have non-empty content"
        answered = {str(each.get("tool_use_id")) for each in blocks if each.get("type") == "tool_result"}
        if answered - waiting:
            yield (
                f"messages.{number}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{sorted(answered - waiting)[0]}."
            )
        if waiting - answered:
            yield f"messages.{number - 1}: `tool_use` ids were found without `tool_result` blocks after"
        waiting = {str(each.get("id")) for each in blocks if each.get("type") == "tool_use"}
        yield from _blocks(blocks, number)
        began = blocks[0].get("type") if blocks else None
        manual = _table(body.get("thinking")).get("type") == "enabled"
        last = bool(spoke) and number == spoke[-1]
        if waiting and manual and last and began not in ("thinking", "redacted_thinking"):
            yield (
                f"messages.{number}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
                f"`{began}`."
            )
    ending = _table(messages[-1])
    text = parts_of(ending.get("content"))[-1].get("text") if parts_of(ending.get("content")) else ""
    if ending.get("role") == "assistant" and str(text or "") != str(text or "").rstrip():
        yield "messages: final assistant content cannot end with trailing whitespace"


def _blocks(blocks: list[Json], number: int) -> Iterator[str]:
    for place, block in enumerate(blocks):
        where = f"messages.{number}.content.{place}"
        kind = block.get("type")
        if kind == "text" and not str(block.get("text")).strip():
            yield "messages: text content blocks must be non-empty"
        if kind == "image" and _table(block.get("source")).get("media_type") not in IMAGE_TYPES:
            yield f"{where}.image.source.base64.media_type: Input should be one of {', '.join(IMAGE_TYPES)}"
        if kind == "tool_use":
            if not re.fullmatch(r"[a-zA-Z0-9_-]+", str(block.get("id"))):
                yield f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
            if not isinstance(block.get("input"), dict):
                yield f"{where}.tool_use.input: Input should be a valid dictionary"
        if kind == "thinking" and block.get("signature") != signature_of(str(block.get("thinking"))):
            yield f"{where}: Invalid `signature` in `thinking` block"


def _table(value: object) -> Json:
    return value if isinstance(value, dict) else {}
