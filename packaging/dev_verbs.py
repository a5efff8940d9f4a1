"""What each verb of dev.py does, and the words of its help."""

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import dev_venv
from dev_say import Trouble, say

_USAGE = """\
Whisper Desktop, from a checkout. Everything goes into .venv beside pyproject.toml.

  python3 packaging/dev.py run [-- ARGS]        install what is missing and start the app (with ARGS, if any)
  python3 packaging/dev.py test [--strict] [PYTEST ARGS]
                                                install what the tests need, run the checks and all tests,
                                                headless; --strict (always so with CI set): a skip that is
                                                not listed in tests/skips.txt fails
  python3 packaging/dev.py check                only the checks: ruff, mypy, lint-imports
  python3 packaging/dev.py bench [NAME [ARGS]]  run a benchmark of tests/benchmarks; without a name, list them
  python3 packaging/dev.py chaos [PYTEST ARGS]  only the tests that kill, break and race
  python3 packaging/dev.py fuzz [--seconds N] [--seed N] [--only NUMBER]
                                                read hostile model files for 60 s, or N, and show figures
  python3 packaging/dev.py llama-server         build the reference llama-server of the tests; print its path

WHISPER_DEV_CACHE names the folder for what is slow to build (llama-server), if the usual one does not suit.
"""


def main(arguments: list[str]) -> int:
    """Runs the verb; its exit status. 2: the command line could not be understood."""
    if not arguments or arguments[0] in ("-h", "--help", "help") or arguments[1:2] in (["-h"], ["--help"]):
        print(_USAGE, end="", file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    verb, rest = arguments[0], arguments[1:]
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        if verb not in _VERBS:
            known = ", ".join(_VERBS)
            raise Trouble(f"dev.py knows no verb {verb!r}. It knows {known}; --help explains them.", code=2)
        return _VERBS[verb](rest)
    except Trouble as trouble:
        say(str(trouble))
        return trouble.code
    except OSError as error:
        what = f"{error.filename or 'A file'} cannot be used: {error.strerror}."
        say(f"{what} The project's folder must be yours to write to, and the disk must have room.")
        return 1
    except KeyboardInterrupt:
        say("Stopped. What was installed or built so far is kept for the next time.")
        return 128 + signal.SIGINT


def _run(arguments: list[str]) -> int:
    if arguments and arguments[0] != "--":
        raise Trouble(
            f"`run` itself knows no {arguments[0]!r}. What is meant for the app stands after two dashes: "
            f"dev.py run -- {' '.join(arguments)}",
            code=2,
        )
    libraries = _libraries_for_run()
    if not dev_venv.ready(frozenset(), libraries):
        import dev_system

        dev_venv.ensure(frozenset())
        if dev_system.ensure_libraries(libraries, "to run"):
            dev_venv.remember_libraries(libraries)
    python = dev_venv.program("python")
    # -P: a file of the person's in the current folder must not be taken for a module of ours.
    command = [python, "-P", "-m", "whisper_desktop", *arguments[1:]]
    if os.name == "posix":
        os.execv(python, command)
    import subprocess  # not run: Windows has no exec that keeps the terminal waiting

    return subprocess.call(command)


def _libraries_for_run() -> frozenset[str]:
    """The engine always needs its libraries; Qt only where there is a screen to show something on."""
    if sys.platform != "linux":
        return frozenset()
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return frozenset({"engine", "qt"} if display else {"engine"})


def _test(arguments: list[str]) -> int:
    import dev_system
    import dev_tests

    strict = "--strict" in arguments or bool(os.environ.get("CI"))
    arguments = [argument for argument in arguments if argument != "--strict"]
    dev_system.ensure_for_tests()
    dev_venv.ensure(frozenset({"dev"}))
    planned = dev_tests.rounds(arguments, strict, _in_project)
    checks = dev_tests.run_checks()
    return dev_tests.conclude(checks, dev_tests.run_tests(planned))


def _check(arguments: list[str]) -> int:
    import dev_tests

    _nothing_more("check", arguments)
    dev_venv.ensure(frozenset({"dev"}))
    return dev_tests.conclude(dev_tests.run_checks(), [])


def _bench(arguments: list[str]) -> int:
    import ast
    from pathlib import Path

    programs = sorted(Path(dev_venv.ROOT, "tests", "benchmarks").glob("[!_]*.py"))
    if not arguments:
        for path in programs:
            purpose = ast.get_docstring(ast.parse(path.read_bytes())) or ""
            print(f"{path.stem:<20} {purpose.partition(chr(10))[0]}".rstrip())
        if not programs:
            say("There are no benchmarks in tests/benchmarks yet.")
        return 0
    name, *rest = arguments
    if name not in [path.stem for path in programs]:
        raise Trouble(f"There is no benchmark {name!r} in tests/benchmarks; `bench` lists them.", code=2)
    import dev_system
    import dev_tests

    dev_system.ensure_for_tests()
    dev_venv.ensure(frozenset({"dev"}))
    return dev_tests.run_benchmark(name, rest)


def _chaos(arguments: list[str]) -> int:
    import dev_system
    import dev_tests

    dev_system.ensure_for_tests()
    dev_venv.ensure(frozenset({"dev"}))
    chaos = dev_tests.Group("chaos", ("tests", "-m", "chaos", "-p", "tests.reference_engine", *arguments))
    return dev_tests.conclude([], dev_tests.run_tests([(chaos,)]))


def _fuzz(arguments: list[str]) -> int:
    import dev_tests

    dev_venv.ensure(frozenset({"dev"}))
    return dev_tests.run_fuzz(arguments)


def _llama_server(arguments: list[str]) -> int:
    import dev_llama

    _nothing_more("llama-server", arguments)
    dev_venv.ensure(frozenset({"dev"}))
    print(dev_llama.ensure(dev_venv.program("python")))
    return 0


def _in_project(path: str) -> bool:
    return os.path.exists(os.path.join(dev_venv.ROOT, path))


def _nothing_more(verb: str, arguments: list[str]) -> None:
    if arguments:
        raise Trouble(f"`{verb}` takes nothing more, so {' '.join(arguments)!r} was not understood.", code=2)


def _on_sigterm(number: int, frame: object) -> NoReturn:
    # An exception instead of sudden death, so that the children of dev.py are ended too.
    raise SystemExit(128 + number)


_VERBS: dict[str, Callable[[list[str]], int]] = {
    "run": _run,
    "test": _test,
    "check": _check,
    "bench": _bench,
    "chaos": _chaos,
    "fuzz": _fuzz,
    "llama-server": _llama_server,
}
