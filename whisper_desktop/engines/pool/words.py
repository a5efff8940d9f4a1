"""What a pool says of its roles and of what failed."""

from collections.abc import Iterable, Sequence

from whisper_desktop.errors import EngineError

Failed = Sequence[tuple[Sequence[str], EngineError]]
"""Roles that share an engine, and why it could not be started."""


def ready(count: int, total: int) -> str:
    """How many roles are ready, as a sentence."""
    if count == total:
        return f"All {total} roles are ready." if total > 1 else "The role is ready."
    return f"{count} of {total} roles {'is' if count == 1 else 'are'} ready."


def works_without(failed: Failed) -> str:
    """What is said of a pool that is ready, but not complete."""
    return f"It works without {_named(role for roles, _ in failed for role in roles)}. {_causes(failed)}"


def too_few(failed: Failed, needed: int, total: int) -> EngineError:
    """The error of a pool that cannot get enough roles ready: it names each cause."""
    first = failed[0][1]
    wanted = f"all {total} roles" if needed == total else f"{needed} of {total} roles"
    missing = _named(role for roles, _ in failed for role in roles)
    return EngineError(
        f"The pool could not be started: {wanted} must be ready, and {missing} cannot be.",
        _causes(failed),
        first.next_step,
        cause=first.cause,
        repairs=first.repairs,
    )


def _named(roles: Iterable[str]) -> str:
    *others, last = (f"the {role}" for role in roles)
    return f"{', '.join(others)} and {last}" if others else last


def _causes(failed: Failed) -> str:
    """Each cause once; with the roles that it stopped where there are several."""
    by_cause: dict[str, list[str]] = {}
    for roles, error in failed:
        by_cause.setdefault(f"{error.title} {error.detail}".strip(), []).extend(roles)
    if len(by_cause) == 1:
        return next(iter(by_cause))
    named = ((_named(roles), cause) for cause, roles in by_cause.items())
    return " ".join(f"{who[0].upper()}{who[1:]}: {cause}" for who, cause in named)
