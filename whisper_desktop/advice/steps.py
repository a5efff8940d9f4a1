"""Numbered setup steps and links for each way to run a model."""

from whisper_desktop.language import mark, tr
from whisper_desktop.values import DownloadLink, canonical_id

SETUP_URLS = {
    "lm_studio": "https://lmstudio.ai",
    "ollama": "https://ollama.com",
    "openrouter": "https://openrouter.ai",
    "builtin": "https://huggingface.co/models?library=gguf",
}
_LINKS = {
    "lm_studio": (DownloadLink(mark("Download LM Studio"), "https://lmstudio.ai/download"),),
    "ollama": (DownloadLink(mark("Download Ollama"), "https://ollama.com/download"),),
    "openrouter": (DownloadLink(mark("Create a key"), "https://openrouter.ai/keys"),),
    "builtin": (DownloadLink(mark("Models in GGUF format"), SETUP_URLS["builtin"]),),
}


def setup_steps(server: str, model: str | None = None, *, with_build: bool = False) -> tuple[str, ...]:
    """What to do, in order, to have answers from `server` (an id or alias) with `model`.

    `with_build`: the app's own engine takes a llama.cpp build for it.
    """
    which = model or tr("a model")
    build = (tr("Fetch a llama.cpp build for the graphics: `whisper-desktop engine builds install`."),)
    steps = {
        "lm_studio": (
            tr("Download LM Studio from lmstudio.ai and install it."),
            tr("In LM Studio, search for {which} and download it.", which=which),
            tr("Open the Developer page and switch the server on; it listens on port 1234."),
            tr("Come back here: the app notices LM Studio by itself."),
        ),
        "ollama": (
            tr("Download Ollama from ollama.com and install it; it starts by itself on port 11434."),
            tr("In a terminal, run `ollama pull {part}`.", part=model or "llama3.2:3b"),
            tr("Come back here: the app notices Ollama by itself."),
        ),
        "openrouter": (
            tr("Create an account at openrouter.ai and add credit, or use its free models."),
            tr("Create a key at openrouter.ai/keys."),
            tr(
                "Enter the key here (or run `whisper-desktop keys set openrouter`); it is kept in "
                "this system's keyring."
            ),
            tr("Allow the cloud for the conversations that may use it."),
        ),
        "builtin": (
            *(build if with_build else ()),
            tr(
                "Fetch {which} in the Models window, or with `whisper-desktop models pull {part}`.",
                which=which,
                part=model or "SOURCE",
            ),
            tr("Let the app run it: `whisper-desktop models use {part}`.", part=model or "NAME"),
            tr("Ask something: the engine starts by itself."),
        ),
    }
    return steps.get(canonical_id(server), ())


def load_steps(server: str, name: str, model: str | None) -> tuple[str, ...]:
    """What to do when `server` runs but has no model that answers."""
    if server == "ollama":
        return (
            tr("In a terminal, run `ollama pull {part}`.", part=model or "llama3.2:3b"),
            tr("Look again."),
        )
    if server == "lm_studio":
        return (
            tr("In LM Studio, search for {part} and download it.", part=model or "a model"),
            tr("Load it on the Developer page."),
            tr("Look again."),
        )
    return (tr("Load a model in {name}.", name=name), tr("Look again."))


def model_title(name: str) -> str:
    """A model's name as a person reads it: without the repository that Ollama fetches it from."""
    if not name.startswith("hf.co/"):
        return name
    return name.rsplit("/", 1)[-1].split(":")[0].removesuffix("-GGUF")


def links(server: str) -> tuple[DownloadLink, ...]:
    """Where to get what `server` needs."""
    return tuple(DownloadLink(tr(link.title), link.url) for link in _LINKS.get(server, ()))
