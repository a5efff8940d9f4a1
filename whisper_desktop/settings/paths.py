"""Where things live on this system: settings, data, caches, logs, run-time files, and our own resources.

Light on purpose: the tray icon waits for this module, so platformdirs and the errors are imported on first
use.
`WHISPER_HOME` replaces all of the platform's folders by one root (portable use, tests).
"""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from whisper_desktop.language import tr

HOME_VARIABLE = "WHISPER_HOME"
CONFIG_FILE = "config.yaml"
CHOICES_FILE = "choices.yaml"
LAST_GOOD_FILE = "config.last-good.yaml"

# The folder's name follows the platform: lower case with a dash is the custom on Linux only.
_FOLDER = "Whisper Desktop" if sys.platform in ("win32", "darwin") else "whisper-desktop"


def config_dir(env: Mapping[str, str] | None = None) -> Path:
    """The folder of `config.yaml` and `choices.yaml`, created (0700) where it is not there yet.

    Raises `SettingsError` when it cannot be created. So do all functions of this kind in this module.
    """
    return _folder("config", "user_config_path", env)


def data_dir(env: Mapping[str, str] | None = None) -> Path:
    """The folder of what the person would miss: conversations, downloaded models."""
    return _folder("data", "user_data_path", env)


def cache_dir(env: Mapping[str, str] | None = None) -> Path:
    """The folder of what can be made again at any time."""
    return _folder("cache", "user_cache_path", env)


def log_dir(env: Mapping[str, str] | None = None) -> Path:
    """The folder of log files."""
    return _folder("logs", "user_log_path", env)


def run_dir(env: Mapping[str, str] | None = None) -> Path:
    """The folder of lock files and sockets: one for each person and machine, the same in every session.

    On Linux this is the login manager's folder, also where a session (ssh, cron) was not told its name; the
    fallback is the cache folder, never a shared `/tmp`, where others could put their socket in our place.
    """
    environ = os.environ if env is None else env
    root = _root(environ)
    if root is not None:
        return _created(root / "run")
    if sys.platform == "linux":
        for candidate in (environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{os.getuid()}"):
            if os.path.isabs(candidate) and _is_ours(Path(candidate)):
                return _created(Path(candidate) / _FOLDER)
    return _created(cache_dir(env) / "run")


def model_cache_dir(settings_value: str | Path | None, env: Mapping[str, str] | None = None) -> Path:
    """The folder of downloaded models: the one the person set, else `models` in the data folder.

    Models are kept with the data, because cleaning programs empty cache folders and a model takes an hour to
    fetch again. A folder that the person named is created, but not its parents: a missing parent is most
    likely a drive that is not connected. Raises `SettingsError` then.
    """
    if settings_value is None or not str(settings_value).strip():
        return _created(data_dir(env) / "models")
    folder = Path(str(settings_value).strip()).expanduser().absolute()
    if not folder.parent.is_dir():
        from whisper_desktop.errors import SettingsError

        raise SettingsError(
            tr("The folder for models, {folder}, cannot be used.", folder=folder),
            tr("{parent} is not there.", parent=folder.parent),
            tr("Connect the drive it is on, or set llm.model_cache_dir to another folder."),
            key="llm.model_cache_dir",
        )
    return _created(folder)


def resource(*parts: str) -> Path:
    """The file or folder of ours at `resources/<parts>`: in a frozen build, in the wheel, or in a checkout.

    Raises `ResourceMissing` when it is not there: then the installation is incomplete.
    """
    for root in _resource_roots():
        path = root.joinpath(*parts)
        if path.exists():
            return path
    from whisper_desktop.errors import ResourceMissing

    raise ResourceMissing(
        tr("A part of Whisper Desktop is missing: {items}.", items="/".join(("resources", *parts))),
        tr("The installation is incomplete."),
        tr("Install Whisper Desktop again."),
    )


def _resource_roots() -> list[Path]:
    package = Path(__file__).resolve().parent.parent
    roots = []
    frozen = getattr(sys, "_MEIPASS", None)
    if frozen:
        roots += [Path(frozen) / "whisper_desktop" / "resources", Path(frozen) / "resources"]
    roots.append(package / "resources")
    # Beside the package only in a checkout: in site-packages, `resources` would be somebody else's.
    if (package.parent / "pyproject.toml").is_file():
        roots.append(package.parent / "resources")
    return roots


def _root(environ: Mapping[str, str]) -> Path | None:
    given = environ.get(HOME_VARIABLE, "").strip()
    return Path(given).expanduser().absolute() if given else None


def _folder(name: str, platform_name: str, env: Mapping[str, str] | None) -> Path:
    root = _root(os.environ if env is None else env)
    if root is not None:
        return _created(root / name)
    from platformdirs import PlatformDirs

    path: Path = getattr(PlatformDirs(_FOLDER, appauthor=False), platform_name)
    return _created(path)


def _created(folder: Path) -> Path:
    """The folder, made with its parents, readable by this person only. One that exists is left as it is."""
    if folder.is_dir():
        return folder
    try:
        # Path.mkdir applies the mode to the last folder only, and our own root must be private too.
        for parent in reversed(folder.parents):
            if not parent.exists():
                parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        from whisper_desktop.errors import SettingsError

        raise SettingsError(
            tr("The folder {folder} cannot be created.", folder=folder),
            tr("The system says: {strerror}.", strerror=error.strerror),
            tr(
                "Free the way, or set {home_variable} to a folder that can be written to.",
                home_variable=HOME_VARIABLE,
            ),
            where=HOME_VARIABLE,
        ) from error
    return folder


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder that belongs to this person and nobody else may write to."""
    try:
        status = folder.stat()
    except OSError:
        return False
    others_write = stat.S_IMODE(status.st_mode) & 0o022
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not others_write
