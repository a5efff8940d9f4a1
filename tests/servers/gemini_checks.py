"""What the Gemini API refuses with status 400, and in which words.

The words are those that users reported, where they are known; the others are constructed in the same style.
"""

import re
from collections.abc import Iterator, Mapping

from tests.servers.gemini_dialect import bad_field, error_object, signature_of
from tests.servers.openai_dialect import Json

SKIP = "skip_thought_signature_validator"
FIELDS = frozenset(
    {
        "contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig",
        "cachedContent", "labels", "serviceTier", "store",
    }
)  # fmt: skip
GENERATION = frozenset(
    {
        "stopSequences", "responseMimeType", "responseSchema", "responseJsonSchema", "candidateCount",
        "maxOutputTokens", "temperature", "topP", "topK", "seed", "presencePenalty", "frequencyPenalty",
        "responseLogprobs", "logprobs", "thinkingConfig", "responseModalities", "speechConfig",
        "mediaResolution", "imageConfig", "enableEnhancedCivicAnswers",
    }
)  # fmt: skip
THINKING = frozenset({"thinkingBudget", "thinkingLevel", "includeThoughts"})
DECLARATION = frozenset({"name", "description", "parameters", "parametersJsonSchema", "behavior", "response"})


def complaint(body: Mapping[str, object], model: str) -> Json | None:
    """The error for a request, None for a good one."""
    return next(_complaints(body, model), None)


def generation_of(model: str) -> tuple[int, int]:
    """The age of a model by its name; the newest without a number."""
    found = re.search(r"gemini-(\d+)(?:\.(\d+))?", model)
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def _complaints(body: Mapping[str, object], model: str) -> Iterator[Json]:
    config = _table(body.get("generationConfig"))
    thinking = _table(config.get("thinkingConfig"))
    for holder, known, where in (
        (body, FIELDS, ""),
        (config, GENERATION, " at 'generation_config'"),
        (thinking, THINKING, " at 'generation_config.thinking_config'"),
    ):
        for name in holder:
            if _camel(name) not in known:
                yield bad_field(name, where)
    yield from _thinking(thinking, model)
    yield from _tools(body)
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        yield error_object(400, "* GenerateContentRequest.contents: contents is not specified\n")
        return
    yield from _contents(contents, signed=generation_of(model) >= (3, 0))
    if "responseJsonSchema" in config and config.get("responseMimeType") != "application/json":
        yield error_object(400, "response_mime_type must be application/json when a schema is set.")


def _thinking(thinking: Json, model: str) -> Iterator[Json]:
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        yield error_object(400, "You can only set only one of thinking budget and thinking level.")
    level = str(thinking.get("thinkingLevel", "")).upper()
    if level and generation_of(model) < (3, 0):
        yield error_object(400, "Thinking level is not supported for this model.")
    if level not in ("", "MINIMAL", "LOW", "MEDIUM", "HIGH") or (level == "MINIMAL" and "pro" in model):
        yield error_object(400, f"Thinking level {level} is not supported for this model.")
    if thinking.get("thinkingBudget") == 0 and "pro" in model:
        yield error_object(400, "Budget 0 is invalid. This model only works in thinking mode.")


def _tools(body: Mapping[str, object]) -> Iterator[Json]:
    tools = body.get("tools")
    for tool in map(_table, tools if isinstance(tools, list) else []):
        declared = tool.get("functionDeclarations")
        for each in map(_table, declared if isinstance(declared, list) else []):
            for name in each:
                if _camel(name) not in DECLARATION:
                    yield bad_field(name, " at 'tools[0].function_declarations[0]'")
            if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}", str(each.get("name"))):
                yield error_object(400, "* tools[0].function_declarations[0].name: Invalid function name.")
    if _table(_table(body.get("toolConfig")).get("functionCallingConfig")).get("mode") == "ANY" and not tools:
        yield error_object(400, "Function calling config is set without function_declarations.")


def _contents(contents: list[object], *, signed: bool) -> Iterator[Json]:
    waiting = 0
    for content in map(_table, contents):
        role = content.get("role", "user")
        if role not in ("user", "model"):
            yield error_object(400, "Please use a valid role: user, model.")
        given = content.get("parts")
        parts = [_table(part) for part in (given if isinstance(given, list) else [])]
        if not parts:
            yield error_object(
                400, "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty."
            )
        results = [_table(part["functionResponse"]) for part in parts if "functionResponse" in part]
        if len(results) != waiting:
            yield error_object(
                400,
                "Please ensure that the number of function response parts is equal to the number of function "
                "call parts of the function call turn.",
            )
        if any(not isinstance(result.get("response"), dict) or not result.get("name") for result in results):
            yield error_object(400, "* function_response.name: Name cannot be empty.")
        calls = [part for part in parts if "functionCall" in part]
        waiting = len(calls) if role == "model" else 0
        if signed and calls:
            name = str(_table(calls[0]["functionCall"]).get("name"))
            signature = calls[0].get("thoughtSignature")
            if signature is None:
                yield error_object(
                    400,
                    "Function call is missing a thought_signature in functionCall parts. This is required "
                    "for tools to work correctly.",
                )
            elif signature not in (SKIP, signature_of(name)):
                yield error_object(400, "Corrupted thought signature.")


def _camel(name: str) -> str:
    """A field's name as the documentation writes it; the other way of writing it is understood, too."""
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def _table(value: object) -> Json:
    return value if isinstance(value, dict) else {}
