"""The person's own personas and prompts: `personas.yaml` in the folder of the settings.

    personas:
      Pirate:
        text: You are a pirate who answers {{language}}.
        description: Arr.
        temperature: 0.9
    prompts:
      Weekly report: "Write a report about {{subject}}."

It may be written by hand: what cannot be understood is left out and said, the rest is used. Everything here
blocks.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from whisper_desktop.chat.personas import Persona, PersonaFile, Prompt
from whisper_desktop.chat.records import Parameters
from whisper_desktop.errors import SettingsError
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines

FILE = "personas.yaml"

_LONGEST_NAME = 80  # characters
_LONGEST_TEXT = 100_000
_MOST = 500  # of each kind
_KINDS = ("personas", "prompts")


def load(env: Mapping[str, str] | None = None) -> PersonaFile:
    """The person's own; nothing where there is no file. What is wrong with the file is in `problem`."""
    from whisper_desktop.settings.files import read_text
    from whisper_desktop.settings.yaml_text import YamlProblem, read_entries

    try:
        text = read_text(_file(env))
    except SettingsError as error:
        return PersonaFile(problem=f"{error.title} {error.detail}".strip())
    try:
        entries = read_entries(text or "")
    except YamlProblem as problem:
        if problem.line is None:
            return PersonaFile(
                problem=tr("{file} cannot be read. {reason}", file=FILE, reason=problem.reason)
            )
        where = tr("{file} cannot be read from line {line} on.", file=FILE, line=problem.line)
        return PersonaFile(problem=f"{where} {problem.reason}")
    found: dict[tuple[str, str], dict[str, object]] = {}
    wrong: int | None = None
    for entry in entries:
        match entry.path:
            case (kind, name) if kind in _KINDS and isinstance(entry.value, str):
                found.setdefault((kind, name), {})["text"] = entry.value
            case (kind, name, field) if kind in _KINDS and not entry.problem:
                found.setdefault((kind, name), {})[field] = entry.value
            case (kind,) if kind in _KINDS and not entry.value and not entry.problem:
                continue
            case _:
                wrong = wrong or entry.line
    personas = [_persona(name, given) for (kind, name), given in found.items() if kind == "personas"]
    prompts = [_prompt(name, given) for (kind, name), given in found.items() if kind == "prompts"]
    said = ""
    if wrong is not None:
        said = tr("Something in {file} is not understood: see line {line}.", file=FILE, line=wrong)
    elif None in personas or None in prompts:
        said = tr("Something in {file} has no text, or too long a name, and is left out.", file=FILE)
    return PersonaFile(
        tuple(each for each in personas if each is not None)[:_MOST],
        tuple(each for each in prompts if each is not None)[:_MOST],
        said,
    )


def save(
    change: PersonaFile, env: Mapping[str, str] | None = None, deadlines: Deadlines = Deadlines()
) -> None:
    """Keep these in the file, in the place of those with their names. Raises `SettingsError`."""
    given: tuple[Persona | Prompt, ...] = (*change.personas, *change.prompts)
    for each in given:
        if not each.name.strip() or len(each.name) > _LONGEST_NAME or "\n" in each.name:
            raise SettingsError(tr("It needs a name of one line."), "", tr("Give it a short name."))
        if not each.text.strip() or len(each.text) > _LONGEST_TEXT:
            raise SettingsError(
                tr("“{name}” cannot be kept.", name=each.name),
                tr("Its text is empty, or longer than {most} characters.", most=f"{_LONGEST_TEXT:,}"),
                tr("Change its text."),
            )
    _rewrite(change, (), (), env, deadlines)


def remove(
    personas: tuple[str, ...] = (),
    prompts: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
    deadlines: Deadlines = Deadlines(),
) -> None:
    """Take those with these names out of the file. Raises `SettingsError`."""
    _rewrite(PersonaFile(), personas, prompts, env, deadlines)


def _rewrite(
    change: PersonaFile,
    no_personas: tuple[str, ...],
    no_prompts: tuple[str, ...],
    env: Mapping[str, str] | None,
    deadlines: Deadlines,
) -> None:
    from whisper_desktop.settings.files import locked, write_text
    from whisper_desktop.settings.yaml_text import as_block

    file = _file(env)
    with locked(file.parent, deadlines.settings_lock):
        kept = load(env)
        if kept.problem:  # writing it anew would lose what the person wrote there
            raise SettingsError(
                tr("{file} cannot be changed.", file=FILE),
                kept.problem,
                tr("Nothing was changed. Mend {path}, or rename it to begin anew.", path=file),
                where=str(file),
            )
        personas = {each.name: each for each in (*kept.personas, *change.personas)}
        prompts = {each.name: each for each in (*kept.prompts, *change.prompts)}
        for name in no_personas:
            personas.pop(name, None)
        for name in no_prompts:
            prompts.pop(name, None)
        lists: dict[str, object] = {
            "personas": {each.name: _written(each) for each in personas.values()},
            "prompts": {each.name: _written(each) for each in prompts.values()},
        }
        write_text(file, as_block(lists))


def _file(env: Mapping[str, str] | None) -> Path:
    from whisper_desktop.settings.paths import config_dir

    return config_dir(env) / FILE


def _persona(name: str, given: Mapping[str, object]) -> Persona | None:
    text, description = given.get("text"), given.get("description", "")
    if not _fit(name, text):
        return None
    parameters = Parameters()
    for field in fields(Parameters):
        value = given.get(field.name)
        if (fit := _parameter(field.name, value)) is not None:
            parameters = replace(parameters, **{field.name: fit})
    return Persona(name, str(text), str(description or ""), parameters, own=True)


def _prompt(name: str, given: Mapping[str, object]) -> Prompt | None:
    text, description = given.get("text"), given.get("description", "")
    return Prompt(name, str(text), str(description or ""), own=True) if _fit(name, text) else None


def _fit(name: str, text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= _LONGEST_TEXT and 0 < len(name) <= _LONGEST_NAME


def _parameter(name: str, value: object) -> Any:  # noqa: ANN401 - of the field's own type
    """The value where it is one that the field takes; None else, and then the model's default holds."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match name:
        case "temperature" if number and 0 <= value <= 2:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        case "top_p" if number and 0 < value <= 1:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        case "max_tokens" | "context_length" if isinstance(value, int) and not isinstance(value, bool):
            return value if value > 0 else None
        case "seed" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "stop" if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return tuple(value)
        case "reasoning" if value in ("off", "low", "medium", "high"):
            return value
        case "reasoning" if value is False:  # YAML reads an unquoted `off` as that
            return "off"
    return None


def _written(given: Persona | Prompt) -> dict[str, object]:
    written: dict[str, object] = {"text": given.text}
    if given.description:
        written["description"] = given.description
    if isinstance(given, Persona):
        for field in fields(Parameters):
            value = getattr(given.parameters, field.name)
            if value not in (None, ()):
                written[field.name] = list(value) if isinstance(value, tuple) else value
    return written
