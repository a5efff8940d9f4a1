"""`ModelHost`: everything a person can do with models, as the one object that front ends hold.

Data flow: places -> shelf; catalogue, file or hub -> what is known of a model -> estimate; a name -> source
-> the queue of downloads -> shelf. What blocks runs in threads; everything else on the core loop.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from whisper_desktop.app.model_room import ModelRoom, bytes_a_second
from whisper_desktop.errors import ModelFileError, ReachError, SettingsError, TransferError
from whisper_desktop.language import tr
from whisper_desktop.values import (
    EngineState,
    EngineStatus,
    ModelType,
    ResourceInfo,
    ServerInfo,
    SetupRecommendation,
)
from whisper_desktop.wire.endings import to_its_end

if TYPE_CHECKING:
    from whisper_desktop.advice import Purpose, Ranking
    from whisper_desktop.app.model_check import Verdict
    from whisper_desktop.app.model_fit import Estimate, Subject
    from whisper_desktop.app.model_named import Naming
    from whisper_desktop.machine.figures import MachineFigures
    from whisper_desktop.models.catalogue import Catalogue, CatalogueModel
    from whisper_desktop.models.catalogue_search import Candidate
    from whisper_desktop.models.download_jobs import Job
    from whisper_desktop.models.downloads import Downloads
    from whisper_desktop.models.duplicates import Copy, Duplicate
    from whisper_desktop.models.hub_answers import HubModel
    from whisper_desktop.models.shelf import Shelf, ShelfModel
    from whisper_desktop.models.shelf_cache import ShelfCache
    from whisper_desktop.models.sources import Source

OWN_MODEL = "llm.gguf_model_path"
"""The setting that says which file the built-in engine runs."""

_SHELF = "shelf.json"
_HAS_FILE_OPEN = (EngineState.STARTING, EngineState.READY, EngineState.BACKING_OFF)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to. `problem` says why the hub could not be asked, "" where it was."""

    known: "tuple[CatalogueModel, ...]"
    repositories: "tuple[HubModel, ...]" = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model that was made the built-in engine's. `remark` is what a person should know, "" mostly."""

    model: "ShelfModel"
    remark: str = ""


class ModelHost:
    """`resources` and `scan` look at the computer and for servers; `remember` keeps a choice of the app's;
    `engines` are ours, by their model.
    """

    def __init__(
        self,
        room: ModelRoom,
        *,
        resources: Callable[[], Awaitable[ResourceInfo]],
        scan: Callable[[], Awaitable[tuple[ServerInfo, ...]]],
        remember: Callable[[Mapping[str, object]], Awaitable[None]],
        engines: Callable[[], Mapping[Path, EngineStatus]],
    ) -> None:
        self._room = room
        self._resources = resources
        self._scan = scan
        self._remember = remember
        self._engines = engines
        self._shelf: Shelf | None = None
        self._cache: ShelfCache | None = None
        self._looking = asyncio.Lock()
        self._catalogue: tuple[object, Catalogue] | None = None
        self._downloads: Downloads | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._noting: set[asyncio.Task[None]] = set()

    # --- what is here -------------------------------------------------------------------------------------

    async def shelf(self, again: bool = False) -> "Shelf":
        """All models on this computer; `again` looks at the folders once more. Raises `SettingsError`."""
        if self._shelf is not None and not again:
            return self._shelf  # also while duplicates are looked for, which takes minutes
        async with self._looking:
            if self._shelf is None or again:
                self._shelf = await self._in_thread(self._scanned)
            return self._shelf

    async def model(self, name: str) -> "ShelfModel":
        """The model of this name on this computer. Raises `ModelFileError` where there is none."""
        from whisper_desktop.app.engine_words import in_gigabytes
        from whisper_desktop.app.model_named import held_model

        shelf, catalogue = await self.shelf(), await self.catalogue()
        found = held_model(shelf, catalogue, name)
        if found is not None:
            alike = {each.path for each in shelf.models if each.name.casefold() == name.strip().casefold()}
            if len(alike) > 1:
                paths = sorted(map(str, alike))
                raise ModelFileError(
                    tr("Several models on this computer are called {found_name}.", found_name=found.name),
                    tr("They are {items}.", items=", ".join(paths)),
                    tr("Name the one you mean by its file."),
                )
            return found
        if (entry := catalogue.find(name)) is not None and entry.repo:
            raise ModelFileError(
                tr("{entry_id} is not on this computer yet.", entry_id=entry.id),
                tr("It is {file_bytes} to download.", file_bytes=in_gigabytes(entry.file_bytes)),
                tr("Fetch it: `whisper-desktop models pull {entry_id}`.", entry_id=entry.id),
            )
        near = get_close_matches(name, [model.name for model in shelf.models], 3, 0.4)
        raise ModelFileError(
            tr("No model on this computer is called {name}.", name=name[:200]),
            tr("There is {items}.", items=", ".join(near)) if near else "",
            tr("See what there is: `whisper-desktop models list`."),
        )

    async def model_or_file(self, name: str) -> "ShelfModel":
        """The same; also of a GGUF file that lies in none of our folders. Raises `ModelFileError`."""
        from whisper_desktop.app.model_named import looks_local
        from whisper_desktop.models.facts import facts_of
        from whisper_desktop.models.naming import name_of
        from whisper_desktop.models.shelf import ShelfModel

        shelf = await self.shelf()
        if shelf.find(name) is not None or not looks_local(name):
            return await self.model(name)

        def work() -> "ShelfModel":
            path = Path(name).expanduser().resolve()
            if (held := shelf.find(str(path))) is not None:
                return held
            facts = facts_of(path)
            if not facts.is_model:
                raise ModelFileError(
                    tr("{path_name} cannot answer.", path_name=path.name),
                    tr("It belongs to a model, and is none itself."),
                    tr("Choose the file of the model."),
                )
            size = path.stat().st_size
            return ShelfModel(name_of(path), (path,), size, size, "folder", facts.type, facts.quant)

        return await self._in_thread(work)

    async def duplicates(
        self,
        *,
        stop: threading.Event | None = None,
        on_progress: Callable[[Path, int], None] | None = None,
    ) -> "tuple[Duplicate, ...]":
        """The files that are here more than once. Reads them, for minutes on a slow disk; cancel to stop."""
        from whisper_desktop.models.duplicates import find_duplicates

        shelf, ended = await self.shelf(again=True), stop or threading.Event()
        async with self._looking:
            return await self._in_thread(
                lambda: find_duplicates(shelf, self._shelf_cache(), stop=ended, on_progress=on_progress),
                ended,
            )

    async def link(
        self,
        duplicate: "Duplicate",
        copy: "Copy",
        *,
        consent: bool = False,
        in_use: Collection[Path] = (),
    ) -> int:
        """Make a copy a link to the file that is kept; returns the bytes that became free.

        `consent` is the person's for a file of another program; `in_use` are files that engines of another
        process have open. Raises `ModelFileError`, and then nothing has changed.
        """
        from whisper_desktop.models.duplicates import link

        used = self._used(in_use)
        async with self._looking:
            freed = await self._in_thread(
                lambda: link(duplicate, copy, self._shelf_cache(), consent=consent, in_use=used)
            )
            self._shelf = None
            return freed

    async def frees(self, model: "ShelfModel") -> int:
        """What deleting the model would give back, in bytes."""
        from whisper_desktop.models.deletion import frees_bytes

        shelf = await self.shelf()
        return await self._in_thread(lambda: frees_bytes(model, shelf))

    async def delete(
        self, model: "ShelfModel", *, consent: bool = False, in_use: Collection[Path] = ()
    ) -> int:
        """Delete the model's files; returns the bytes that became free. `consent` and `in_use` as in `link`.

        Raises `ModelFileError`: it is in use, or another program's.
        """
        from whisper_desktop.models.deletion import delete

        shelf, used = await self.shelf(), self._used(in_use)
        async with self._looking:
            freed = await self._in_thread(
                lambda: delete(model, shelf, self._room.places(), consent=consent, in_use=used)
            )
            self._shelf = None
        await self._take_off_list(model)
        return freed

    async def verify(
        self,
        name: str,
        *,
        stop: threading.Event | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> "Verdict":
        """Whether a model's files are what they should be. Reads all of them; cancel to stop.

        Raises `ModelFileError` where there is no such model, or a file cannot be read.
        """
        from whisper_desktop.app.model_check import check
        from whisper_desktop.models.download_journal import read_jobs

        model, catalogue = await self.model_or_file(name), await self.catalogue()
        ended, journal = stop or threading.Event(), self._room.journal()
        verdict = await self._in_thread(
            lambda: check(model, read_jobs(journal), catalogue, stop=ended, on_progress=on_progress), ended
        )
        if not verdict.is_whole:
            await self._take_off_list(model)
        return verdict

    async def use(self, name: str) -> Chosen:
        """Make a model the built-in engine's, where its files lie. It is used from the next question on.

        Raises `ModelFileError` for one that it cannot run, `SettingsError` where that cannot be kept.
        """
        from whisper_desktop.models.gguf import read_header
        from whisper_desktop.settings import Layer

        model = await self.model_or_file(name)
        if model.type is ModelType.EMBEDDING:
            raise ModelFileError(
                tr("{model_name} cannot answer.", model_name=model.name),
                tr("It turns texts into vectors, for searching."),
                tr("Choose a model for conversation."),
            )
        missing = (await self._in_thread(lambda: read_header(model.path))).missing_bytes
        if missing:
            raise ModelFileError(
                tr("{model_name} cannot be used.", model_name=model.name),
                tr(
                    "Its file is {missing:,} bytes too short, as after a download that was cut short.",
                    missing=missing,
                ),
                tr("Download it again."),
            )
        await self._remember({OWN_MODEL: str(model.path)})
        loaded = self._room.settings()
        if loaded.settings.llm.own_model == model.path:
            return Chosen(model)
        layer = loaded.sources.get(OWN_MODEL)
        stronger = tr("the environment") if layer is Layer.ENVIRONMENT else tr("the command line")
        return Chosen(
            model,
            tr(
                "It is kept, but {stronger} sets {own_model} to another file for now.",
                stronger=stronger,
                own_model=OWN_MODEL,
            ),
        )

    def is_own(self, model: "ShelfModel") -> bool:
        """Whether it is the built-in engine's model."""
        return self._room.settings().settings.llm.own_model in model.files

    def engine_ready(self) -> None:
        """One of our engines has become ready, so that its model is used now."""
        for path, status in self._engines().items():
            if status.state is not EngineState.READY:
                continue
            with suppress(SettingsError, RuntimeError):
                used = self._room.last_used()
                task = asyncio.get_running_loop().create_task(asyncio.to_thread(used.note, path))
                self._noting.add(task)
                task.add_done_callback(self._noting.discard)

    # --- what fits, and what is best ----------------------------------------------------------------------

    async def catalogue(self) -> "Catalogue":
        """The models that are known, with the person's own."""
        return await self._in_thread(self._loaded_catalogue)

    async def rank(self, purpose: "Purpose | None" = None) -> "Ranking":
        """The models of the catalogue for this computer, best first. Looks for servers as well."""
        return (await self.advise(purpose))[1]

    async def figures(self) -> "MachineFigures":
        """How fast this computer is: as measured here, else by the tables."""
        from whisper_desktop.models.graphics import judge_graphics

        resources = await self._resources()
        gpus = judge_graphics(resources).gpus
        return await self._in_thread(lambda: self._room.measured().figures(resources, gpus))

    async def advise(self, purpose: "Purpose | None" = None) -> "tuple[SetupRecommendation, Ranking]":
        """What to use here, and the ranking that it follows from; both know what was measured here."""
        from whisper_desktop.advice import Purpose, measured_in, rank, recommended_setup
        from whisper_desktop.models.graphics import judge_graphics

        resources, servers, catalogue = await asyncio.gather(
            self._resources(), self._scan(), self.catalogue()
        )

        def work() -> "tuple[SetupRecommendation, Ranking]":
            store = self._room.measured()
            ranking = rank(
                resources,
                servers,
                catalogue,
                purpose=purpose or Purpose.CHAT,
                figures=store.figures(resources, judge_graphics(resources).gpus),
                measured=measured_in(store, resources),
            )
            return recommended_setup(resources, servers, catalogue, ranking), ranking

        return await self._in_thread(work)

    async def fit(self, text: str, n_ctx: int | None = None, *, ask: bool = True) -> "Estimate":
        """Whether a model runs here, and how: an id of the catalogue, the name or file of one on this
        computer, REPO/FILE, or an address. `n_ctx` is the context that is wished for, in tokens.

        `ask` lets an engine check the memory of a file that is here; it loads nothing. Raises
        `ModelFileError`, `TransferError`, `ReachError` or `SecretsError`.
        """
        naming, resources = await asyncio.gather(self._naming(), self._resources())
        subject = await naming.subject(text)
        told = await self._in_thread(lambda: self._estimated(subject, resources, n_ctx))
        return await self._checked(told, resources) if ask and subject.path is not None else told

    async def search(self, text: str, limit: int = 20) -> Found:
        """The models of the catalogue and the repositories of the hub that go by this name.

        Where the hub cannot be asked, `problem` says why. Raises `SecretsError`.
        """
        wanted = text.strip().casefold()
        known = tuple(
            model
            for model in await self.catalogue()
            if wanted in f"{model.id} {model.family} {model.repo}".casefold()
        )
        try:
            return Found(known, await self._room.hub().search(text.strip(), limit))
        except (TransferError, ReachError) as error:
            return Found(known, (), f"{error}")

    async def files(self, repo: str) -> "tuple[Candidate, ...]":
        """The models in a repository, the one that is worth a try first. Raises like `Hub.repo`."""
        from whisper_desktop.models.catalogue_search import candidates
        from whisper_desktop.models.hub_answers import HubModel

        told, catalogue = await asyncio.gather(self._room.hub().repo(repo), self.catalogue())
        return candidates(HubModel(told.name, gated=told.gated), told.files, catalogue)

    # --- downloads ----------------------------------------------------------------------------------------

    @property
    def downloads(self) -> "Downloads":
        """The queue of downloads. Its folder and its hub are those of when it was first asked for.

        Raises `SettingsError` where there is no folder for models.
        """
        if self._downloads is None:
            self._downloads = self._room.new_downloads(self._arrived)
        return self._downloads

    async def source(self, text: str) -> "Source":
        """The source that a text names. Raises `ModelFileError` for a name that the catalogue does not have,
        `TransferError` with examples of right ones for what is no source.
        """
        from whisper_desktop.app.model_named import in_hub, is_bare, unknown
        from whisper_desktop.models.sources import parse_source

        catalogue, name = await self.catalogue(), text.strip()
        if is_bare(name) and not name.lower().endswith(".gguf") and catalogue.find(name) is None:
            raise unknown(name, catalogue)
        return parse_source(text, find=in_hub(catalogue), endpoint=self._room.endpoint())

    async def pull(self, text: str) -> "Job":
        """Queue the model that a text names, and fetch what waits. Raises like `Downloads.add`."""
        job = await self.downloads.add(await self.source(text))
        await self.fetch()
        return job

    async def begun(self) -> "tuple[Job, ...]":
        """The downloads that have not ended well yet, also where another program of this app has them."""
        jobs, journal = self._downloads.jobs() if self._downloads is not None else (), self._room.journal()
        if not jobs and not journal.exists():
            return ()  # as for most people most of the time: then nothing of downloads is imported
        from whisper_desktop.models.download_journal import read_jobs

        jobs = jobs or await self._in_thread(lambda: read_jobs(journal))
        return tuple(job for job in jobs if job.is_open)

    async def fetch(self) -> None:
        """Fetch what waits, until the app ends. Raises `TransferError` where another program does it."""
        await self.downloads.open()
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self.downloads.run())

    def use_settings(self) -> None:
        """The settings have changed: limits hold at once. On the core loop."""
        if self._downloads is None:
            return
        wanted = self._room.settings().settings.downloads
        limit = bytes_a_second(wanted.most_mb_per_second)
        if self._downloads.bandwidth.bytes_per_s != limit:
            self._downloads.bandwidth.bytes_per_s = limit
        if self._downloads.at_once != wanted.at_once:
            self._downloads.at_once = wanted.at_once

    async def aclose(self) -> None:
        """Stop fetching; what has arrived is kept, and the next run goes on."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
            self._fetching = None
        if self._downloads is not None:
            await self._downloads.aclose()
            self._downloads = None
        await asyncio.gather(*self._noting, return_exceptions=True)

    # --- how ----------------------------------------------------------------------------------------------

    async def _in_thread(self, work: Callable[[], T], stop: threading.Event | None = None) -> T:
        """The result of work that blocks; who is cancelled waits for its end, which `stop` hastens."""
        return await to_its_end(asyncio.to_thread(work), stop.set if stop is not None else None)

    def _scanned(self) -> "Shelf":
        from whisper_desktop.models.shelf import scan

        problems: tuple[str, ...] = ()
        try:
            places = self._room.places()
        except SettingsError as error:  # the drive of our own folder is not connected: the others are there
            places, problems = self._room.places_beside(), (f"{error}",)
        found = scan(places, self._shelf_cache(), self._room.last_used().all())
        return replace(found, problems=(*problems, *found.problems))

    def _shelf_cache(self) -> "ShelfCache":
        from whisper_desktop.models.shelf_cache import ShelfCache
        from whisper_desktop.settings.paths import cache_dir

        if self._cache is None:
            self._cache = ShelfCache(cache_dir(self._room.env) / _SHELF)
        return self._cache

    def _loaded_catalogue(self) -> "Catalogue":
        from whisper_desktop.models.catalogue import OWN_FILE, load
        from whisper_desktop.settings.paths import config_dir

        own = config_dir(self._room.env) / OWN_FILE
        try:
            found = own.stat()
            state: object = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            state = None
        if self._catalogue is None or self._catalogue[0] != state:
            self._catalogue = (state, load(own))
        return self._catalogue[1]

    def _used(self, elsewhere: Collection[Path]) -> Callable[[Path], bool]:
        """Whether an engine has a file open: one of ours, or one that is told."""
        ours = {path.resolve() for path, each in self._engines().items() if each.state in _HAS_FILE_OPEN}
        used = ours | {path.resolve() for path in elsewhere}
        # A model in several files is known to its engine by the first.
        return lambda path: path.resolve() in used

    async def _naming(self) -> "Naming":
        from whisper_desktop.app.model_named import Naming

        shelf, catalogue = await self.shelf(), await self.catalogue()
        return Naming(
            self._room.http, self._room.hub(), catalogue, shelf, self._room.deadlines, self._room.endpoint()
        )

    def _estimated(self, subject: "Subject", resources: ResourceInfo, n_ctx: int | None) -> "Estimate":
        from whisper_desktop.app.model_fit import estimate
        from whisper_desktop.models.graphics import judge_graphics
        from whisper_desktop.models.measured import machine_key, model_key

        store = self._room.measured()
        model, machine = model_key(subject.file, subject.shape.file_bytes), machine_key(resources)
        return estimate(
            subject,
            resources,
            store.figures(resources, judge_graphics(resources).gpus),
            lambda mode: store.look_up(model, machine, mode),
            n_ctx=n_ctx,
            builtin=self._room.binary() is None,
        )

    async def _checked(self, told: "Estimate", resources: ResourceInfo) -> "Estimate":
        """The same with the word of the engine that is installed, where that can be asked."""
        from whisper_desktop.app.model_fit import corrected_by
        from whisper_desktop.engines.oracle import corrected, needs
        from whisper_desktop.models.memory import ModelMemory

        placement, path, binary = told.placement, told.subject.path, self._room.binary()
        cards = sum(map(bool, placement.gpu_layers))
        if path is None or told.fit is None or placement.experts_on_host or cards > 1:
            return told
        said = await needs(
            path,
            n_ctx=placement.n_ctx,
            binary=binary,
            cache_type=placement.cache_type,
            n_gpu_layers=placement.layers_on_gpus,
            parallel=placement.parallel,
            deadlines=self._room.deadlines,
        )
        # An engine without support for the card says everything lies on the host, which is not asked for.
        if said is None or sum(each.total > 0 for each in said.devices if each.device != "Host") != cards:
            return told
        memory = ModelMemory(told.subject.shape, resources, builtin=binary is None)
        return corrected_by(told, corrected(said, memory, placement), said.source)

    def _arrived(self, _job: "Job") -> None:
        self._shelf = None

    async def _take_off_list(self, model: "ShelfModel") -> None:
        """What is gone, or damaged, is not done: asked for again, it is fetched again."""
        with suppress(TransferError, SettingsError):
            await self.downloads.open()
            for job in self.downloads.jobs():
                if job.state == "done" and job.target in model.files:
                    await self.downloads.cancel(job.id)
