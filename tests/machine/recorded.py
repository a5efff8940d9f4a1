"""Reads the samples: what real machines print, each with a word on where it is from."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SAMPLES = Path(__file__).with_name("samples")
PROVENANCES = ("captured", "quoted", "constructed")


@dataclass(frozen=True, slots=True)
class Sample:
    """One recording: a text, a folder of files, or registry keys."""

    name: str
    provenance: str
    source: str
    note: str
    text: str
    files: Mapping[str, str]
    keys: Mapping[str, Mapping[str, object]]


def samples(system: str) -> dict[str, Sample]:
    """All samples of one file."""
    entries = tomllib.loads((SAMPLES / f"{system}.toml").read_text("utf-8"))
    return {name: _sample(name, entry) for name, entry in entries.items()}


def _sample(name: str, entry: dict[str, object]) -> Sample:
    keys = entry.get("keys", {})
    files = entry.get("files", {})
    assert isinstance(keys, dict)
    assert isinstance(files, dict)
    return Sample(
        name=name,
        provenance=str(entry.get("provenance")),
        source=str(entry.get("source", "")),
        note=str(entry.get("note", "")),
        text=str(entry.get("text", "")).removeprefix("\n"),
        files=files,
        keys={key: {item: _value(value) for item, value in values.items()} for key, values in keys.items()},
    )


def _value(value: object) -> object:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def sample(system: str, name: str) -> str:
    """The text of one sample."""
    return samples(system)[name].text


def lay_out(root: Path, files: Mapping[str, str]) -> Path:
    """Writes files below a folder that stands for a computer's root."""
    for path, content in files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content + "\n", "utf-8")
    return root
