"""What `ModelHost` works with, by the settings as they are now: folders, the hub, the queue, records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whisper_desktop.errors import SettingsError
from whisper_desktop.values import Deadlines

if TYPE_CHECKING:
    from whisper_desktop.app.keys import Keys
    from whisper_desktop.app.last_used import LastUsed
    from whisper_desktop.models.download_jobs import Job
    from whisper_desktop.models.download_programs import Program
    from whisper_desktop.models.downloads import Downloads
    from whisper_desktop.models.hub import Hub
    from whisper_desktop.models.measured import MeasuredStore
    from whisper_desktop.models.places import Place
    from whisper_desktop.settings import LoadedSettings
    from whisper_desktop.wire.http import Http

_JOURNAL = "downloads.json"
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class ModelRoom:
    """`settings` gives the settings as they are now. What is made of them raises `SettingsError` where a
    folder of the app cannot be used.
    """

    settings: "Callable[[], LoadedSettings]"
    env: Mapping[str, str]
    http: "Http"
    deadlines: Deadlines
    keys: "Keys"

    def places(self) -> "tuple[Place, ...]":
        """The folders with models. Blocks. Raises `SettingsError`."""
        from whisper_desktop.models.places import places
        from whisper_desktop.settings.paths import model_cache_dir

        llm = self.settings().settings.llm
        own = model_cache_dir(llm.model_cache_dir, self.env)
        return places(own, llm.model_folders, env=self.env, home=self.home())

    def places_beside(self) -> "tuple[Place, ...]":
        """The same without our own folder, where that cannot be used now."""
        from whisper_desktop.models.places import places
        from whisper_desktop.settings.paths import data_dir

        folders = self.settings().settings.llm.model_folders
        return places(data_dir(self.env) / "models", folders, env=self.env, home=self.home())

    def home(self) -> Path:
        """The person's home folder."""
        from whisper_desktop.discovery.configured import home_folder

        return home_folder(self.env)

    def last_used(self) -> "LastUsed":
        """When models were used."""
        from whisper_desktop.app.last_used import FILE, LastUsed
        from whisper_desktop.settings.paths import data_dir

        return LastUsed(data_dir(self.env) / FILE)

    def measured(self) -> "MeasuredStore":
        """How fast models were here; nothing where no folder of ours can be used."""
        from whisper_desktop.models.measured import FILE, MeasuredStore
        from whisper_desktop.settings.paths import data_dir

        try:
            return MeasuredStore(data_dir(self.env) / FILE)
        except SettingsError:
            return MeasuredStore(None)

    def binary(self) -> Path | None:
        """The llama-server that runs models; None for the built-in engine."""
        from whisper_desktop.engines import find_binary

        return find_binary(self.settings().settings.llm.llamacpp.server_path)

    def endpoint(self) -> str:
        """The address of the hub, "" for Hugging Face itself."""
        return self.settings().settings.downloads.hub or ""

    def hub(self) -> "Hub":
        """Where models come from, with the person's token for it."""
        from whisper_desktop.models.hub import hub_from

        named = {"HF_ENDPOINT": self.endpoint()} if self.endpoint() else {}
        env = {**self.env, **named}
        return hub_from(self.http, env, kept=self.keys.source_for, deadlines=self.deadlines)

    def journal(self) -> Path:
        """Where the queue of downloads is kept."""
        from whisper_desktop.settings.paths import data_dir

        return data_dir(self.env) / _JOURNAL

    def new_downloads(self, on_done: "Callable[[Job], None]") -> "Downloads":
        """The queue of downloads, which tells `on_done` of each that has ended well."""
        from whisper_desktop.models.downloads import Downloads
        from whisper_desktop.settings.paths import model_cache_dir
        from whisper_desktop.wire.bandwidth import Bandwidth

        settings = self.settings().settings
        return Downloads(
            self.http,
            model_cache_dir(settings.llm.model_cache_dir, self.env),
            self.journal(),
            hub=self.hub(),
            programs=self.programs(),
            at_once=settings.downloads.at_once,
            bandwidth=Bandwidth(bytes_a_second(settings.downloads.most_mb_per_second)),
            connections=settings.downloads.connections,
            deadlines=self.deadlines,
            on_done=on_done,
        )

    def programs(self) -> "dict[str, Program]":
        """Where Ollama and LM Studio are asked, whether or not they run now: the queue says so then."""
        from whisper_desktop.discovery.configured import ollama_url
        from whisper_desktop.models.download_programs import Program

        llm = self.settings().settings.llm
        ollama = llm.ollama.base_url or ollama_url(self.env.get("OLLAMA_HOST", ""))
        lm_studio = f"http://127.0.0.1:{llm.lmstudio.port}"
        return {
            "ollama": Program("ollama", ollama, self.keys.source_for(ollama)),
            "lm_studio": Program("lm_studio", lm_studio, self.keys.source_for(lm_studio)),
        }


def bytes_a_second(megabytes: float | None) -> int | None:
    """A limit as the settings have it, in bytes; None is none."""
    return None if megabytes is None else max(1, round(megabytes * _MB))
