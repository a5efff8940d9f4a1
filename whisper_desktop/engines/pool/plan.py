"""N processes, or one server with N slots? What a pool is made of, decided from header and machine. Pure.

Processes are what a pool is for: what happens to one (a crash, a restart, a prompt that fills it) does not
touch the others. They are taken where they fit, unless they cost more than a quarter of the speed. Otherwise
one server answers all roles, each in a slot of its own; where even their contexts do not fit, there are fewer
slots and roles take turns.

Memory. A process that maps the file shares its weights with the others, as long as nothing is repacked:
repacking for the processor makes a private copy, and so does reading the file instead of mapping it. Measured
with five processes and a Q4_K model of 176 MB (proportional set sizes): 2013 MiB mapped and repacked, 1865
MiB read and repacked, 1195 MiB mapped as it is; one server with five slots 1374 MiB. So weights are either
shared and not repacked, or, where half of the free memory is enough for it and repacking makes them faster,
each process reads its own.

Speed: see `speed`. The rule for graphics cards is not measured: every process would need a copy of the
weights there, and they would take turns, so a model that lies on a card, even in part, gets one server.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, NamedTuple

from whisper_desktop.engines.plan import Plan, Wishes, plan
from whisper_desktop.engines.pool.roles import PoolRole
from whisper_desktop.engines.pool.speed import ISOLATION_IS_WORTH, relative_speed
from whisper_desktop.engines.room import room_of
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.language import tr, trn
from whisper_desktop.models.fit import ladder
from whisper_desktop.models.gguf import GgufHeader
from whisper_desktop.models.memory import LoadMode
from whisper_desktop.models.shape import shape_of
from whisper_desktop.values import ResourceInfo
from whisper_desktop.wire.wanted import size_words

_PROMPT_CACHE = 512 * 2**20  # what each process may fill with earlier prompts (see `command`)


class Form(StrEnum):
    """What a pool is made of."""

    PROCESSES = "processes"
    SLOTS = "slots"


@dataclass(frozen=True, slots=True)
class PlacedRole:
    """A role, and where it is answered: the number of the instance, and the slot in it."""

    role: PoolRole
    instance: int
    slot: int


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What would run. `specs` are the instances, `roles` who is answered where; sizes are bytes.
    `need_bytes` is None where it is not known.

    `loads_at_once` is how many instances may load side by side. `reasons` are whole sentences; `warning` is
    one about what will not be as it should.
    """

    form: Form
    specs: tuple[EngineSpec, ...]
    roles: tuple[PlacedRole, ...]
    need_bytes: int | None
    room_bytes: int
    loads_at_once: int
    reasons: tuple[str, ...]
    warning: str = ""

    @property
    def places(self) -> int:
        """How many roles can be answered at once."""
        return len({(each.instance, each.slot) for each in self.roles})


def pool_plan(
    roles: Sequence[PoolRole],
    base: EngineSpec,
    header: GgufHeader | None,
    resources: ResourceInfo,
    *,
    wishes: Wishes | None = None,
    freed_bytes: int = 0,
    freed_gpu_bytes: int = 0,
    form: Form | None = None,
) -> PoolPlan:
    """What to run for `roles`: `base` says which model on which program, `wishes` what the person set.

    `freed_bytes` and `freed_gpu_bytes` are what is unloaded before: what is still loaded then must not be
    counted as freed, so that a model never has to lie in memory twice. `form` asks for one form, whatever is
    better; it is obeyed even where it does not fit, with a warning.
    """
    if not roles:
        raise ValueError(tr("a pool needs a role"))
    freed = (freed_bytes, freed_gpu_bytes)
    return _Planner(roles, base, header, resources, wishes or Wishes(), freed, form).choose()


class _Candidate(NamedTuple):
    """So many processes, or slots of one server; `against` says why it is not processes.

    `need` is what they take of RAM in bytes, `all_bytes` that and what lies on graphics cards.
    """

    form: Form
    places: int
    one: Plan
    need: int | None
    all_bytes: int | None
    against: str = ""


class _Planner:
    """One decision: its facts, and the steps to it."""

    def __init__(
        self,
        roles: Sequence[PoolRole],
        base: EngineSpec,
        header: GgufHeader | None,
        resources: ResourceInfo,
        wishes: Wishes,
        freed: tuple[int, int],
        form: Form | None,
    ) -> None:
        self._roles = tuple(roles)
        self._base = base
        self._header = header
        self._resources = resources
        self._wishes = wishes
        self._freed, self._freed_gpu = freed
        self._form = form
        self._cores = max(1, resources.cores_physical)
        self._room = room_of(
            resources,
            freed_bytes=freed[0],
            freed_gpu_bytes=freed[1],
            builtin=base.binary is None,
            remote=bool(base.rpc),
        )

    def choose(self) -> PoolPlan:
        """The first candidate that fits, else the last, which needs the least."""
        for candidate in self._candidates():
            if candidate.need is None or candidate.need <= self._room.budget.host:
                return self._made(candidate)
        return self._made(candidate)

    # --- what comes into question, the best first ---------------------------------------------------------

    def _candidates(self) -> Iterator[_Candidate]:
        contexts = self._contexts()
        for context in contexts:
            server = self._server(context, len(self._roles))
            processes, against = self._processes(context, server)
            if self._form is not Form.SLOTS:
                yield from processes
            if self._form is not Form.PROCESSES or not processes:
                yield server._replace(against=against)
        if self._form is not Form.PROCESSES:
            for slots in range(len(self._roles) - 1, 0, -1):
                yield self._server(contexts[-1], slots)._replace(against=against)

    def _contexts(self) -> list[int | Literal["auto"]]:
        header, wished = self._header, self._wishes.n_ctx
        shape = shape_of(header) if header is not None else None
        if wished != "auto" or shape is None or not shape.train_ctx or not shape.kv_groups:
            return [wished]
        return list(ladder(shape))

    def _processes(self, context: int | Literal["auto"], server: _Candidate) -> tuple[list[_Candidate], str]:
        """Each with weights of its own, where that is faster and memory is plenty; else sharing them.

        And what speaks against them.
        """
        count, found = len(self._roles), list[_Candidate]()
        shared = self._plan(context, load_mode="mmap", repack=False)
        weights, one_need = shared.expected.weights_bytes, shared.expected.host_bytes
        if weights is None or one_need is None:
            return [], ""
        if self._form is None:
            if count == 1:
                return [], ""
            if server.one.expected.gpu_layers:
                return [], tr(
                    "The model lies on a graphics card, where every process would need its own copy."
                )
            if self._base.rpc:
                return [], tr("The computers that lend their memory would need a copy for every process.")
        caches = (count - 1) * _PROMPT_CACHE  # the room has a margin for the first
        own_need = count * one_need + caches
        if (
            self._is_repacked(context, weights)
            and 2 * own_need <= self._room.budget.host
            and not self._slowness(shared=False)
        ):
            own = self._plan(context, load_mode="none", repack=True)
            found.append(_Candidate(Form.PROCESSES, count, own, own_need, own_need))
        if slowness := self._slowness(shared=True):
            return found, slowness
        need = weights + count * (one_need - weights) + caches
        found.append(_Candidate(Form.PROCESSES, count, shared, need, need))
        if need <= self._room.budget.host:
            return found, ""
        return found, tr(
            "{count} processes need {gb}, more than the {host_words}.",
            count=count,
            gb=size_words(need),
            host_words=self._room.budget.host_words,
        )

    def _is_repacked(self, context: int | Literal["auto"], weights: int) -> bool:
        """Whether this processor has an order of its own for these weights, and it may be used."""
        if self._wishes.repack is False:
            return False
        both = self._plan(context, load_mode="mmap", repack=True).expected.weights_bytes
        return both is not None and both > weights

    def _slowness(self, *, shared: bool) -> str:
        """What to say where processes are too slow; "" where they are fast enough, or asked for."""
        speed = relative_speed(self._header, self._cores, shared=shared)
        if self._form is not None or speed >= ISOLATION_IS_WORTH:
            return ""
        return tr(
            "Processes would read all weights for each token: with {times}, {speed:.1f} times as "
            "fast as one server, as far as can be said.",
            times=trn("{count} core", "{count} cores", self._cores),
            speed=speed,
        )

    def _server(self, context: int | Literal["auto"], slots: int) -> _Candidate:
        one = self._plan(context, parallel=slots)
        expected = one.expected
        if expected.total_bytes is None or expected.host_bytes is None:
            return _Candidate(Form.SLOTS, slots, one, None, None)
        need = expected.total_bytes if self._room.budget.unified else expected.host_bytes
        return _Candidate(Form.SLOTS, slots, one, need, expected.total_bytes)

    def _plan(
        self,
        context: int | Literal["auto"],
        *,
        parallel: int = 1,
        load_mode: LoadMode | None = None,
        repack: bool | None = None,
    ) -> Plan:
        repack = self._wishes.repack if repack is None else repack
        wishes = replace(self._wishes, n_ctx=context, parallel=parallel, load_mode=load_mode, repack=repack)
        return plan(
            self._header,
            self._resources,
            wishes,
            freed_bytes=self._freed,
            freed_gpu_bytes=self._freed_gpu,
            builtin=self._base.binary is None,
            remote=bool(self._base.rpc),
        )

    # --- what becomes of it -------------------------------------------------------------------------------

    def _made(self, chosen: _Candidate) -> PoolPlan:
        processes = chosen.form is Form.PROCESSES
        instances = chosen.places if processes else 1
        specs = tuple(self._spec(chosen, number) for number in range(instances))
        roles = tuple(
            PlacedRole(role, index if processes else 0, 0 if processes else index % chosen.places)
            for index, role in enumerate(self._roles)
        )
        return PoolPlan(
            chosen.form,
            specs,
            roles,
            chosen.all_bytes,
            self._room.budget.host,
            1 if chosen.one.expected.gpu_layers else max(2, self._cores),
            tuple(self._reasons(chosen)),
            self._warning(chosen),
        )

    def _spec(self, chosen: _Candidate, number: int) -> EngineSpec:
        one = chosen.one
        threads = max(1, self._cores // chosen.places) if chosen.form is Form.PROCESSES else one.threads
        return replace(
            self._base,
            n_ctx=one.n_ctx,
            n_gpu_layers=one.n_gpu_layers,
            threads=threads,
            port=None,  # a fixed one could be had by one of them only
            load_mode=one.load_mode,
            engine_id=f"pool-{number + 1}",
            cache_type=one.cache_type,
            repack=one.repack,
            parallel=one.parallel,
            expected=one.expected,
            experts_on_host=one.experts_on_host,
            tensor_split=one.tensor_split,
        )

    def _reasons(self, chosen: _Candidate) -> Iterator[str]:
        places, one = chosen.places, chosen.one
        if chosen.form is Form.PROCESSES:
            yield tr(
                "{places} processes, one for each role: a crash of one leaves the others alone.",
                places=places,
            )
            if one.load_mode == "mmap":
                weights = size_words(one.expected.weights_bytes or 0)
                yield tr(
                    "They map the same file, so its {weights} of weights lie in memory once.", weights=weights
                )
            else:
                yield tr(
                    "Each has weights of its own, repacked for this processor: faster, and there is room."
                )
        else:
            yield tr(
                "One server with {times}; it reads its weights once for all.",
                times=trn("{count} slot", "{count} slots", places),
            )
            if chosen.against:
                yield chosen.against
            if places < len(self._roles):
                yield tr(
                    "No more than {places} of {roles} contexts fit, so roles take turns.",
                    places=places,
                    roles=len(self._roles),
                )
        yield (
            tr("Context: {n_ctx:,} tokens for each.", n_ctx=one.n_ctx)
            if one.n_ctx
            else tr("Context: the model's own, for each.")
        )
        if chosen.need is None:
            yield tr("The model's file does not say what it needs, so whether it fits is not known.")
        else:
            yield tr(
                "Memory: {gb} with all caches full, of the {host_words}.",
                gb=size_words(chosen.need),
                host_words=self._room.budget.host_words,
            )

    def _warning(self, chosen: _Candidate) -> str:
        if chosen.need is None or chosen.need <= self._room.budget.host:
            return ""
        return tr(
            "The pool needs {gb}, more than the {host_words}. Close something, use fewer roles "
            "or a shorter context, or pick a smaller model.",
            gb=size_words(chosen.need),
            host_words=self._room.budget.host_words,
        )
