"""OpenRouter: asked only where the person has a key and has allowed the cloud."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from whisper_desktop.discovery.answers import count, fields, objects, text, texts
from whisper_desktop.discovery.words import about_server
from whisper_desktop.errors import BackendError, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.values import IDENTITIES, ModelInfo, Reach, ServerInfo, ServerStatus
from whisper_desktop.wire.http import Http, Reply, parse_json

_IDENTITY = IDENTITIES["openrouter"]
URL = _IDENTITY.root
_LARGEST_LIST = 8_000_000


async def look_at_openrouter(
    http: Http, key_of: Callable[[], Awaitable[str | None]], *, url: str, until: float
) -> ServerInfo | None:
    """OpenRouter with its models, or None without a key. Ends by `until`, the event loop's time.

    The key goes to `url` only, and only to ask whether it is valid; the list of models needs none.
    """
    try:
        async with asyncio.timeout_at(until):
            key = await key_of()
    except TimeoutError:
        return None
    if key is None:
        return None
    api = url + _IDENTITY.api_path
    started = time.perf_counter()
    (validity, latency_s), models = await asyncio.gather(
        _ask(http, f"{api}/key", until, started, {"authorization": f"Bearer {key}"}),
        _models(http, f"{api}/models", until),
    )
    status, detail = _verdict(validity, models)
    return ServerInfo(
        "openrouter",
        _IDENTITY.name,
        url,
        status,
        latency_ms=None if isinstance(validity, WhisperError) else round(latency_s * 1000, 1),
        models=models or (),
        api_base=api,
        reach=Reach.CLOUD,
        detail=detail,
    )


def _verdict(
    validity: Reply | WhisperError, models: tuple[ModelInfo, ...] | None
) -> tuple[ServerStatus, str]:
    name = _IDENTITY.name
    if isinstance(validity, WhisperError):
        return ServerStatus.UNREACHABLE, str(validity)
    if validity.status in (401, 403):
        step = f"whisper-desktop keys set {_IDENTITY.id}"
        return ServerStatus.NEEDS_KEY, tr(
            "{name} does not accept the key. Give it another one: {step}", name=name, step=step
        )
    if validity.status != 200 or not is_key_info(validity.body):
        return ServerStatus.SOMETHING_ELSE, tr(
            "What answers is not {name} (status {status}).", name=name, status=validity.status
        )
    if models is None:
        return ServerStatus.AVAILABLE, about_server(name, ServerStatus.AVAILABLE, None, "")
    return ServerStatus.AVAILABLE, tr(
        "{name} accepts the key and offers {models} models in the cloud.", name=name, models=len(models)
    )


async def _models(http: Http, url: str, until: float) -> tuple[ModelInfo, ...] | None:
    reply, _ = await _ask(http, url, until, 0.0, {})
    return parse_models(reply.body) if isinstance(reply, Reply) and reply.status == 200 else None


async def _ask(
    http: Http, url: str, until: float, started: float, headers: dict[str, str]
) -> tuple[Reply | WhisperError, float]:
    left = max(0.0, until - asyncio.get_running_loop().time())
    try:
        reply = await http.request(
            "GET",
            url,
            allowed=Reach.CLOUD,
            headers=headers,
            connect=left,
            total=left,
            max_bytes=_LARGEST_LIST,
        )
    except WhisperError as error:
        return error, 0.0
    return reply, time.perf_counter() - started


def is_key_info(body: bytes) -> bool:
    """What /key says about a key: there is always its label."""
    return text(fields(fields(_json(body)).get("data")).get("label")) is not None


def parse_models(body: bytes) -> tuple[ModelInfo, ...] | None:
    """OpenRouter's list; None where it is none."""
    data = fields(_json(body)).get("data")
    if not isinstance(data, list):
        return None
    models = []
    for entry in objects(data):
        name = text(entry.get("id"))
        if name is None:
            continue
        architecture = fields(entry.get("architecture"))
        supported = texts(entry.get("supported_parameters"))
        capabilities = {
            "vision": "image" in texts(architecture.get("input_modalities")),
            "tools": "tools" in supported,
            "reasoning": "reasoning" in supported,
        }
        models.append(
            ModelInfo(
                name,
                context_length=count(entry.get("context_length")),
                remote=True,
                capabilities=("completion", *(word for word, has in capabilities.items() if has)),
            )
        )
    return tuple(models)


def _json(body: bytes) -> object:
    try:
        return parse_json(body)
    except BackendError:
        return None
