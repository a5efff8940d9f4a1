"""From what a place answered to the `ServerInfo` that is reported. Pure decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from whisper_desktop.discovery.description import Description
from whisper_desktop.discovery.known import GIVEN_MODELS, Known, reach_at, usual_owners
from whisper_desktop.discovery.places import Spot, Unusable, Way
from whisper_desktop.discovery.probe import Nobody, Outcome, Recognised, Stranger
from whisper_desktop.discovery.words import about_absent, about_server, about_stranger
from whisper_desktop.values import IDENTITIES, Reach, ServerInfo, ServerStatus

_UNSPECIFIED = "openai_compatible"


def server_at(way: Way, outcome: Recognised) -> ServerInfo:
    """A server that was recognised, with whatever it told."""
    known = outcome.known
    described = known.describe(outcome.answers)
    status = _status(outcome, described)
    return ServerInfo(
        known.id,
        known.name,
        way.url,
        status,
        version=described.version,
        latency_ms=round(outcome.latency_s * 1000, 1),
        models=described.models or (),
        api_base=_api_base(way, known),
        reach=reach_at(known.id, way.origin, as_given=way.is_given),
        as_given=way.is_given,
        detail=about_server(known.name, status, described.models, way.shown_origin, described.note),
    )


def _status(outcome: Recognised, described: Description) -> ServerStatus:
    known = outcome.known
    if described.status is not None:
        return described.status
    if described.models is None:
        asked = (*(sign.path for sign in known.signs), *known.lists)
        refused = any(outcome.answers[path].is_refusal for path in asked if path in outcome.answers)
        return ServerStatus.NEEDS_KEY if refused else ServerStatus.AVAILABLE
    can_answer = any(model.can_chat for model in described.models)
    return ServerStatus.AVAILABLE if can_answer else ServerStatus.NO_MODELS


def _api_base(way: Way, known: Known) -> str:
    """Where the OpenAI API is: at the path that was written if it answered there, else where it usually
    is.
    """
    if way.given_path is not None and any(sign.path == GIVEN_MODELS for sign in known.signs):
        return way.shown_origin + way.given_path
    return way.url + IDENTITIES[known.id].api_path


def is_same(one: ServerInfo, other: ServerInfo) -> bool:
    """Whether two ways to one port lead to the same server. A list that did not arrive proves nothing."""
    if (one.id, one.version) != (other.id, other.version):
        return False
    names = [{model.id for model in server.models} for server in (one, other)]
    return names[0] == names[1] or not all(names)


def nobody_we_know(
    spot: Spot, outcomes: Sequence[tuple[Way, Outcome]], moved: Mapping[str, int]
) -> ServerInfo | None:
    """A program that is no model server, or nothing at all where an address was given or has a key."""
    for way, outcome in outcomes:
        if isinstance(outcome, Stranger):
            owners = _owners(way, spot, moved)
            return ServerInfo(
                "unknown",
                IDENTITIES["unknown"].name,
                way.url,
                ServerStatus.SOMETHING_ELSE,
                as_given=way.is_given,
                detail=about_stranger(spot.port, [IDENTITIES[id].name for id in owners], outcome.manner),
            )
    for way, outcome in outcomes:
        if isinstance(outcome, Nobody) and (way.is_given or way.has_key):
            owners = _owners(way, spot, moved)
            expected = way.expected or (owners[0] if len(owners) == 1 else _UNSPECIFIED)
            reach = reach_at(_UNSPECIFIED, way.origin, as_given=way.is_given)
            gone = _unreachable(expected, way.url, str(outcome.error), reach=reach)
            return replace(gone, as_given=way.is_given)
    return None


def _owners(way: Way, spot: Spot, moved: Mapping[str, int]) -> tuple[str, ...]:
    """Who is expected at a place of this computer; on other computers ports say nothing."""
    return usual_owners(spot.port, moved) if way.reach is Reach.THIS_MACHINE else ()


def _unreachable(id: str, url: str, detail: str, *, reach: Reach | None = None) -> ServerInfo:
    """An address that was given, under the name of the server that is expected there."""
    name = IDENTITIES[id].name
    return ServerInfo(id, name, url, ServerStatus.UNREACHABLE, reach=reach, as_given=True, detail=detail)


def unusable_address(address: Unusable) -> ServerInfo:
    """An address that was given and is none."""
    return _unreachable(address.expected or _UNSPECIFIED, address.text, str(address.error))


def absent_servers(found: set[str], ports: Mapping[str, int]) -> list[ServerInfo]:
    """Each known local server that was not found, at the port where it was looked for."""
    absent = []
    for identity in IDENTITIES.values():
        port = ports.get(identity.id, identity.port)
        if identity.id not in found and identity.port is not None and port:
            url = f"http://127.0.0.1:{port}"
            detail = about_absent(identity.name, port)
            absent.append(
                ServerInfo(identity.id, identity.name, url, ServerStatus.UNREACHABLE, detail=detail)
            )
    return absent
