"""The machines of `profiles.yaml`, with what must hold for each."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from whisper_desktop.advice.profiles import profile_of
from whisper_desktop.models.catalogue import CatalogueModel
from whisper_desktop.models.fit import Search, best_fit, budget_for
from whisper_desktop.models.memory import ModelMemory, Placement
from whisper_desktop.values import ResourceInfo

FILE = Path(__file__).with_name("profiles.yaml")


@dataclass(frozen=True)
class Machine:
    """One computer. `models` are those of which one must be first, `modes` the ways in which it may lie.

    `not_counted` is the graphics part that must be said not to help; `offline` asks for a model beside the
    cloud.
    """

    id: str
    name: str
    resources: ResourceInfo
    program: str
    models: tuple[str, ...]
    modes: tuple[str, ...]
    not_counted: str
    offline: bool


@cache
def machines() -> dict[str, Machine]:
    """All of them by their id, in the order of the file."""
    entries = yaml.safe_load(FILE.read_text("utf-8"))
    found = {}
    for entry in entries:
        profile = profile_of(entry["machine"], f"profiles.yaml, {entry['id']}")
        found[entry["id"]] = Machine(
            entry["id"],
            profile.name,
            profile.resources,
            entry["program"],
            tuple(entry["models"]),
            tuple(entry.get("modes", ())),
            entry.get("not_counted", ""),
            entry.get("offline", False),
        )
    assert len(found) == len(entries), "two machines have one id"
    return found


def has_room(model: CatalogueModel, resources: ResourceInfo) -> bool:
    """Whether the model fits there in any way, also with whole layers of a mixture on both sides."""
    budget = budget_for(resources)
    if best_fit(model.shape, budget, resources) is not None:
        return True
    context = min(4096, model.train_ctx)
    divided = Search(ModelMemory(model.shape, resources), budget, Placement(context), experts=False)
    return divided.fit("partial", context) is not None
