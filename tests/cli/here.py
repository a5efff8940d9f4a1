"""Commands in this process, which is quicker: for what needs no process of its own."""

from click.testing import CliRunner

from tests.cli.program import Program, Result
from whisper_desktop.cli.main import commands
from whisper_desktop.cli.running import Failed


def run_here(program: Program, *args: str, **env: str) -> Result:
    """One command in the program's home, to its end, without a terminal."""
    done = CliRunner().invoke(commands, args, env={**program.env, **env})
    assert done.exception is None or isinstance(done.exception, Failed | SystemExit), done.exception
    return Result(done.exit_code, done.stdout_bytes, done.stderr)
