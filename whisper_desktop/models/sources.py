"""What a person names to be downloaded, and which files of a repository are meant by it. No I/O."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, Protocol
from urllib.parse import unquote

from whisper_desktop.errors import SettingsError, TransferError
from whisper_desktop.language import tr
from whisper_desktop.models.file_names import is_projector, part_in, quant_in, stem_of
from whisper_desktop.models.hub_answers import HubFile, is_path, is_repo
from whisper_desktop.values import Reach
from whisper_desktop.wire.address import parse_url
from whisper_desktop.wire.key_shapes import holds_a_key

Kind = Literal["hub", "url", "ollama", "lm_studio"]

EXAMPLES = (
    "qwen3.5-4b, Qwen/Qwen3-4B-GGUF:Q4_K_M, hf.co/Qwen/Qwen3-4B-GGUF, https://…/model.gguf, ollama:qwen3:4b, "
    "lmstudio:qwen/qwen3-4b"
)

MOST_FILES = 200
"""Of one model: those of a trillion parameters have about 50."""

_LONGEST = 4000
_MOST_NAMED = 6  # names in one sentence
_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_OTHER_PAGES = frozenset({"datasets", "spaces", "models", "collections", "papers", "docs", "blog", "api"})
_PREFIXES: tuple[tuple[str, Kind], ...] = (
    ("ollama:", "ollama"),
    ("lmstudio:", "lm_studio"),
    ("lm_studio:", "lm_studio"),
    ("lm-studio:", "lm_studio"),
)
_KEY = re.compile(r"\w[\w.-]{0,99}(?:/\w[\w.-]{0,99}){0,3}", re.ASCII)
_TAG = re.compile(_KEY.pattern + r"(?::\w[\w.-]{0,99})?", re.ASCII)
_QUANT = re.compile(r"[A-Za-z0-9][\w.-]{0,39}", re.ASCII)
_REVISION = re.compile(r"[\w][\w./-]{0,199}", re.ASCII)
_NO_MODEL = re.compile(r"(?:^|[-_.])imatrix(?:[-_.]|$)", re.IGNORECASE)
_BITS = re.compile(r"(?:UD-)?(?:I?Q|TQ|MXFP|NVFP|BF|F)(\d{1,2})")
_Q4 = (
    "Q4_K_M", "UD-Q4_K_XL", "Q4_K_XL", "Q4_K_L", "Q4_K_S", "Q4_K", "MXFP4", "IQ4_NL", "IQ4_XS", "Q4_1",
    "Q4_0",
)  # fmt: skip
_NEXT_BITS = (4, 5, 6, 8, 3, 2, 16, 1, 32)
"""After the four bits, first what is better and still small, then what is worse, then what is not packed."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model is to come from. `name` is a repository, an address, Ollama's tag or LM Studio's key.

    Of a repository `file` names one of its files, `quant` a quantization; "" leaves the choice to us.
    """

    kind: Kind
    name: str
    file: str = ""
    quant: str = ""
    revision: str = "main"

    def __str__(self) -> str:
        """As a person would write it. An address loses what follows its “?”, which may be secret."""
        match self.kind:
            case "ollama":
                return f"ollama:{self.name}"
            case "lm_studio":
                return f"lmstudio:{self.name}" + (f"@{self.quant}" if self.quant else "")
            case "url":
                return self.name.partition("?")[0]
        if self.revision != "main" and not self.quant:
            kind = f"blob/{self.revision}/{self.file}" if self.file else f"tree/{self.revision}"
            return f"hf.co/{self.name}/{kind}"
        return self.name + (f"/{self.file}" if self.file else f":{self.quant}" if self.quant else "")

    def __repr__(self) -> str:
        return f"Source({self.kind!r}, {str(self)!r})"


class InCatalogue(Protocol):
    """What a source takes from an entry of the catalogue."""

    @property
    def repo(self) -> str: ...
    @property
    def file(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """The files of one model, in their order, out of all that a repository has.

    `quant` is theirs ("" unknown), `others` are the further ones that could be had. `projectors` are the
    files that let a model see images; each is a download of its own.
    """

    files: tuple[HubFile, ...]
    quant: str = ""
    others: tuple[str, ...] = ()
    projectors: tuple[HubFile, ...] = ()
    by_us: bool = False

    @property
    def note(self) -> str:
        """What a person should know about the choice; "" where they made it."""
        said = []
        if self.by_us and self.others:
            more = (
                tr(" and {len} more", len=len(self.others) - _MOST_NAMED)
                if len(self.others) > _MOST_NAMED
                else ""
            )
            named = ", ".join(self.others[:_MOST_NAMED])
            said.append(
                tr(
                    "{part} was chosen. There are also {named}{more}.",
                    part=self.quant or self.files[0].path,
                    named=named,
                    more=more,
                )
            )
        if self.projectors:
            said.append(tr("To see images it needs {path} as well.", path=self.projectors[0].path))
        return " ".join(said)


# --- What was named ---------------------------------------------------------------------------------------


def parse_source(
    text: str, *, find: Callable[[str], InCatalogue | None] | None = None, endpoint: str = ""
) -> Source:
    """The source that a text names. Raises `TransferError` with an example of a right one.

    `find` looks in the catalogue; `endpoint` is the address of a mirror, whose pages are understood, too.
    """
    typed = text.strip().strip("\"'").strip()
    if not typed:
        raise _wrong("", tr("Nothing was named."))
    if len(typed) > _LONGEST or not typed.isprintable():
        raise _wrong("", tr("It is too long, or has characters in it that no name has."))
    if holds_a_key(typed) and "://" not in typed:
        raise _wrong("", tr("It holds something that looks like a key."))
    for prefix, kind in _PREFIXES:
        if typed.lower().startswith(prefix):
            return _of_server(kind, typed[len(prefix) :].strip(), typed)
    hosts = _HOSTS | ({_host_of(endpoint)} - {""})
    if "://" in typed:
        return _of_address(typed, hosts)
    host, slash, rest = typed.partition("/")
    if slash and host.lower() in hosts:
        return _of_page(rest, typed)
    if find is not None and (model := find(typed)) is not None:
        return Source("hub", model.repo, model.file)
    if "\\" in typed or typed[0] in "/.~":
        raise _wrong(typed, tr("It is a place on this computer, and what is here need not be downloaded."))
    if "/" not in typed:
        if typed.lower().endswith(".gguf"):
            raise _wrong(typed, tr("It is the name of a file; the repository it lies in is missing."))
        raise _wrong(typed, tr("The catalogue has no model of that name."))
    return _of_repository(typed, typed)


def _of_server(kind: Kind, name: str, typed: str) -> Source:
    if kind == "ollama":
        if not _TAG.fullmatch(name):
            raise _wrong(
                typed, tr("What follows ollama: is not a name in Ollama's library."), "ollama:qwen3:4b"
            )
        return Source("ollama", name)
    key, _, quant = name.partition("@")
    if not _KEY.fullmatch(key) or (quant and not _QUANT.fullmatch(quant)):
        raise _wrong(
            typed, tr("What follows lmstudio: is not a model's key there."), "lmstudio:qwen/qwen3-4b"
        )
    return Source("lm_studio", key, quant=quant)


def _of_address(typed: str, hosts: frozenset[str]) -> Source:
    try:
        address = parse_url(typed)
    except SettingsError as error:
        raise _wrong("", error.detail, "https://huggingface.co/Qwen/Qwen3-4B-GGUF") from None
    if address.netloc in hosts:
        return _of_page(unquote(address.path).lstrip("/"), typed.partition("?")[0])
    shown = address.origin + address.path
    if address.scheme == "http" and address.reach is Reach.CLOUD:
        why = tr("Without encryption anybody on the way could change the file.")
        raise _wrong(shown, why, f"https://{address.netloc}{address.path}")
    name = unquote(address.path).rpartition("/")[2]
    if not name.lower().endswith(".gguf") or not is_path(name):
        raise _wrong(
            shown, tr("It does not end in the name of a GGUF file."), "https://example.org/model.gguf"
        )
    return Source("url", address.url)


def _of_page(path: str, typed: str) -> Source:
    """A page of the hub: of a repository, a folder or a file."""
    path = path.rstrip("/")
    owner, _, rest = path.partition("/")
    if owner in _OTHER_PAGES:
        raise _wrong(
            typed, tr("That page is not one of a model."), "https://huggingface.co/Qwen/Qwen3-4B-GGUF"
        )
    parts = rest.split("/")
    if len(parts) < 3 or parts[1] not in ("blob", "resolve", "raw", "tree"):
        return _of_repository(path, typed)
    repo, revision, file = f"{owner}/{parts[0]}", parts[2], "/".join(parts[3:])
    if not is_repo(repo) or not _REVISION.fullmatch(revision):
        raise _wrong(typed, tr("It does not name a repository."))
    if not file or parts[1] == "tree":
        return Source("hub", repo, revision=revision)
    return Source("hub", repo, _checked_file(file, typed), revision=revision)


def _of_repository(path: str, typed: str) -> Source:
    """OWNER/NAME, with a file or a quantization behind it."""
    named, colon, quant = path.partition(":")
    owner, _, rest = named.partition("/")
    name, _, file = rest.partition("/")
    repo = f"{owner}/{name}"
    if not is_repo(repo):
        raise _wrong(typed, tr("It does not name a repository, which has an owner and a name."))
    if colon and quant.lower().endswith(".gguf"):
        file, colon = quant, ""
    if colon and (file or not _QUANT.fullmatch(quant)):
        raise _wrong(typed, tr("What follows the colon is not a quantization."), f"{repo}:Q4_K_M")
    return Source("hub", repo, _checked_file(file, typed) if file else "", quant if colon else "")


def _checked_file(file: str, typed: str) -> str:
    if not is_path(file) or not file.lower().endswith(".gguf"):
        raise _wrong(typed, tr("It names a file that is not GGUF, the format of models that run here."))
    return file


def _host_of(endpoint: str) -> str:
    try:
        return parse_url(endpoint).netloc if endpoint else ""
    except SettingsError:
        return ""


def _wrong(typed: str, why: str, example: str = EXAMPLES) -> TransferError:
    short = typed if len(typed) <= 100 else typed[:97] + "…"
    what = tr("This") if not typed or holds_a_key(typed) else f"“{short}”"
    return TransferError(
        tr("{what} names no model that can be downloaded.", what=what),
        why,
        tr("Write, for example: {example}.", example=example),
    )


# --- What is meant by it ----------------------------------------------------------------------------------


def choose(files: Sequence[HubFile], source: Source) -> Chosen:
    """The files of the model that `source` means. Raises `TransferError` with the names that would do."""
    models = [file for file in files if file.path.lower().endswith(".gguf")]
    if not models:
        raise TransferError(
            tr("{source_name} has no GGUF file.", source_name=source.name),
            tr("It is for other programs; models that run here are GGUF files."),
            tr("Look for a repository with such files: `whisper-desktop models search NAME`."),
        )
    projectors = tuple(sorted((each for each in models if is_projector(each.path)), key=_projector_order))
    if source.file:
        return _named(models, source, projectors)
    sets = _sets(each for each in models if each not in projectors and not _is_no_model(each))
    quants = sorted({_quant(each[0]) for each in sets}, key=_preference)
    wanted = source.quant.upper()
    if wanted and wanted not in quants and f"UD-{wanted}" in quants:
        wanted = f"UD-{wanted}"
    quant = wanted or (quants[0] if quants else "")
    found = [each for each in sets if _quant(each[0]) == quant]
    if not found:
        raise TransferError(
            tr("{source_name} has no file with {quant}.", source_name=source.name, quant=source.quant)
            if source.quant
            else tr("{source_name} has no file with a model.", source_name=source.name),
            tr("It has {list}.", list=_list(quants)) if any(quants) else "",
            tr("Name one of its files: {source_name}/{path}.", source_name=source.name, path=models[0].path),
        )
    if len(found) > 1:
        raise TransferError(
            tr("{source_name} has several models with {quant}.", source_name=source.name, quant=quant)
            if quant
            else tr("{source_name} has several models.", source_name=source.name),
            tr("They are {list}.", list=_list([each[0].path for each in found])),
            tr(
                "Name the one you want: {source_name}/{path}.", source_name=source.name, path=found[0][0].path
            ),
        )
    others = tuple(each for each in quants if each and each != quant)
    return Chosen(_whole(found[0], source), quant, others, projectors, by_us=not wanted)


def _named(models: Sequence[HubFile], source: Source, projectors: tuple[HubFile, ...]) -> Chosen:
    found = [file for file in models if file.path == source.file]
    found = found or [file for file in models if file.path.rpartition("/")[2] == source.file]
    if len(found) != 1:
        paths = [file.path for file in models]
        near = get_close_matches(source.file, paths, _MOST_NAMED, 0.5) or paths
        raise TransferError(
            tr("{source_name} has no file {file}.", source_name=source.name, file=source.file),
            tr("It has {list}.", list=_list(near)),
            tr("Name one of them: {source_name}/{near}.", source_name=source.name, near=near[0]),
        )
    files = next(each for each in _sets(models) if found[0] in each)
    is_model = found[0] not in projectors
    return Chosen(_whole(files, source), _quant(files[0]), projectors=projectors if is_model else ())


def _sets(files: Iterable[HubFile]) -> list[list[HubFile]]:
    """The files, those that are parts of one model together and in their order."""
    sets: dict[tuple[str, int], list[HubFile]] = {}
    for path, file in sorted({each.path: each for each in files}.items()):
        part = part_in(path)
        sets.setdefault((part.stem, part.count), []).append(file)
    return list(sets.values())


def _whole(files: Sequence[HubFile], source: Source) -> tuple[HubFile, ...]:
    """The same files. Raises `TransferError` where parts are missing, or there are too many."""
    parts = [part_in(file.path) for file in files]
    count = parts[0].count or 1
    if [part.number for part in parts] != list(range(1, count + 1)):
        raise TransferError(
            tr("{stem} is not whole in {source_name}.", stem=parts[0].stem, source_name=source.name),
            tr("It should have {count} parts, and {files} are there.", count=count, files=len(files)),
            tr("Choose another file, or try again later: perhaps it is still being uploaded."),
        )
    if count > MOST_FILES:
        raise TransferError(
            tr("{stem} cannot be downloaded.", stem=parts[0].stem),
            tr(
                "It is divided into {count} files, and no model has more than {most_files}.",
                count=count,
                most_files=MOST_FILES,
            ),
            tr("Choose another file of the same model."),
        )
    return tuple(files)


def _is_no_model(file: HubFile) -> bool:
    return _NO_MODEL.search(stem_of(file.path.rpartition("/")[2])) is not None


def _quant(file: HubFile) -> str:
    """By the name of the file, else by that of its folder."""
    folder, _, name = file.path.rpartition("/")
    return quant_in(name) or quant_in(folder.rpartition("/")[2])


def _preference(quant: str) -> tuple[int, int, str]:
    if quant in _Q4:
        return 0, _Q4.index(quant), quant
    bits = _BITS.match(quant)
    known = int(bits[1]) if bits else 0
    return 1, _NEXT_BITS.index(known) if known in _NEXT_BITS else len(_NEXT_BITS), quant


def _projector_order(file: HubFile) -> tuple[int, str]:
    order = ("F16", "BF16", "Q8_0", "F32")
    quant = _quant(file)
    return order.index(quant) if quant in order else len(order), file.path


def _list(names: Sequence[str]) -> str:
    shown = [name for name in names if name][:_MOST_NAMED]
    more = len([name for name in names if name]) - len(shown)
    return ", ".join(shown) + (tr(" and {more} more", more=more) if more else "")
