"""What a pool says of its roles and of what failed."""

from collections.abc import Iterable, Sequence

from whisper_desktop.errors import EngineError
from whisper_desktop.language import tr, trn

Failed = Sequence[tuple[Sequence[str], EngineError]]
"""Roles that share an engine, and why it could not be started."""


def ready(count: int, total: int) -> str:
    """How many roles are ready, as a sentence."""
    if count == total:
        return tr("All {total} roles are ready.", total=total) if total > 1 else tr("The role is ready.")
    return trn(
        "{count} of {total} roles is ready.", "{count} of {total} roles are ready.", count, total=total
    )


def works_without(failed: Failed) -> str:
    """What is said of a pool that is ready, but not complete."""
    return tr(
        "It works without {named}. {causes}",
        named=_named((role for roles, _ in failed for role in roles)),
        causes=_causes(failed),
    )


def too_few(failed: Failed, needed: int, total: int) -> EngineError:
    """The error of a pool that cannot get enough roles ready: it names each cause."""
    first = failed[0][1]
    wanted = (
        tr("all {total} roles", total=total)
        if needed == total
        else tr("{needed} of {total} roles", needed=needed, total=total)
    )
    missing = _named(role for roles, _ in failed for role in roles)
    return EngineError(
        tr(
            "The pool could not be started: {wanted} must be ready, and {missing} cannot be.",
            wanted=wanted,
            missing=missing,
        ),
        _causes(failed),
        first.next_step,
        cause=first.cause,
        repairs=first.repairs,
    )


def _named(roles: Iterable[str]) -> str:
    *others, last = (tr("the {role}", role=role) for role in roles)
    return tr("{items} and {last}", items=", ".join(others), last=last) if others else last


def _causes(failed: Failed) -> str:
    """Each cause once; with the roles that it stopped where there are several."""
    by_cause: dict[str, list[str]] = {}
    for roles, error in failed:
        by_cause.setdefault(f"{error.title} {error.detail}".strip(), []).extend(roles)
    if len(by_cause) == 1:
        return next(iter(by_cause))
    named = ((_named(roles), cause) for cause, roles in by_cause.items())
    return " ".join(f"{who[0].upper()}{who[1:]}: {cause}" for who, cause in named)
