"""What is loaded in LM Studio: several instances of a model, some of them loaded just in time."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.servers.model_specs import ModelSpec

JIT_TTL_S = 3600.0


@dataclass
class Instance:
    """A loaded model under its own id. `expires` is on the monotonic clock; `ttl_s` starts anew with use."""

    id: str
    model: ModelSpec
    context_length: int
    jit: bool = False
    ttl_s: float = math.inf
    expires: float = math.inf

    def use(self, ttl_s: float | None = None) -> None:
        """Starts the time to live anew, with another one where it is given."""
        self.ttl_s = self.ttl_s if ttl_s is None else ttl_s
        self.expires = time.monotonic() + self.ttl_s


class Instances:
    """The instances, kept in step with `ModelSpec.loaded`, which tests set."""

    def __init__(self, models: Callable[[], Sequence[ModelSpec]]) -> None:
        self._models = models
        self._all: list[Instance] = []

    def current(self) -> list[Instance]:
        """All that are loaded now."""
        now = time.monotonic()
        for instance in [each for each in self._all if each.expires <= now]:
            self.unload(instance)
        models = self._models()
        known = {id(model) for model in models if model.loaded}
        self._all = [each for each in self._all if id(each.model) in known]
        for model in models:
            if model.loaded and not any(each.model is model for each in self._all):
                self._all.append(Instance(model.id, model, model.context_length))
        return self._all

    def of(self, model: ModelSpec) -> list[Instance]:
        """The instances of one model, oldest first."""
        return [each for each in self.current() if each.model is model]

    def named(self, name: object) -> Instance | None:
        """The instance with this id."""
        return next((each for each in self.current() if each.id == name), None)

    def load(self, model: ModelSpec, context_length: int | None = None) -> Instance:
        """One more instance: the second is called `:2`."""
        taken = {each.id for each in self.of(model)}
        number = 1
        while (name := model.id if number == 1 else f"{model.id}:{number}") in taken:
            number += 1
        instance = Instance(name, model, context_length or model.context_length)
        self._all.append(instance)
        model.loaded = True
        return instance

    def load_just_in_time(self, model: ModelSpec) -> Instance:
        """Loads a model for a request; the one that was loaded so before makes room."""
        for each in [each for each in self.current() if each.jit]:
            self.unload(each)
        instance = self.load(model)
        instance.jit, instance.ttl_s = True, JIT_TTL_S
        return instance

    def unload(self, instance: Instance) -> None:
        """Takes one out of memory."""
        self._all.remove(instance)
        instance.model.loaded = any(each.model is instance.model for each in self._all)
