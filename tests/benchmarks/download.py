"""Downloads of models: what a killed one costs, and how fast and how frugal a long one is.

- A process that downloads 300 MB is killed 20 times at random moments and started again. The file has to be
  the same, and the server must not have sent more than 5 % too much.
- 2 GB over a line of 110 MB/s (a gigabit network), checked by SHA-256: as fast as a plain GET
  that fills it, and memory under 100 MB above the start. This is what was promised.
- 2 GB from this computer, checked by SHA-256, against a plain GET over one connection to the same disk, with
  the same HTTP library, in turns: one that computes the checksum as the bytes come, and one that only writes.
  Memory must stay under 100 MB above the start. There is no line, so that this says what all the work costs;
  the server shares the processor with it.

Run it with `python3 packaging/dev.py bench download` on an idle machine with 7 GB of free disk.
"""

import asyncio
import hashlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.servers.launch import ROOT, RunningServer, start
from whisper_desktop.values import Reach
from whisper_desktop.wire.http import Http

MB = 10**6
KILLED = 300 * MB
KILLS = 20
PACE = 25 * MB  # Bytes a second: a line of 200 Mbit/s.
EXTRA_MOST = 0.05
LARGE = 2000 * MB
ROUNDS = 3
LINE = 110 * MB
LINE_LEAST = 0.95
RATIO_LEAST = 0.8
MEMORY_MOST = 100 * MB


def main() -> bool:
    """Measure, and print; whether what must be met is met."""
    with tempfile.TemporaryDirectory(prefix="bench-download-") as name:
        folder = Path(name)
        (folder / "served").mkdir()
        return all([_killed(folder), _on_a_line(folder), _large(folder)])


def _killed(folder: Path) -> bool:
    file, target = folder / "served" / "killed.bin", folder / "killed.bin"
    sha256 = _random_file(file, KILLED)
    chance = random.Random()
    with start("range_storage", "--folder", str(file.parent), "--pace", str(PACE)) as server:
        command = _downloading(server, file, target, sha256)
        began = time.monotonic()
        for kill in range(KILLS):
            share = KILLED // (KILLS + 1)
            _kill_at(command, chance.randrange(kill * share, (kill + 1) * share))
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        seconds = time.monotonic() - began
        sent = _sent(server)
    same = done.returncode == 0 and _sha256(target) == sha256
    extra = sent / KILLED - 1
    met = same and extra <= EXTRA_MOST
    print(f"Killed {KILLS} times at random on the way to {KILLED / MB:.0f} MB, {seconds:.0f} s in all")
    print(f"  {'byte-identical' if same else 'NOT THE SAME'}; {sent / MB:.1f} MB sent, {extra:+.2%}")
    print(f"  the same file, at most {EXTRA_MOST:.0%} extra: {'met' if met else 'MISSED'}")
    file.unlink()
    target.unlink(missing_ok=True)
    return met


def _kill_at(command: list[str], done: int) -> None:
    """Run it, and kill it once it has so many bytes, some milliseconds later."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith(b"took") and int(line) >= done:
                time.sleep(random.uniform(0, 0.1))
                break
        process.kill()


def _on_a_line(folder: Path) -> bool:
    file, target = folder / "served" / "line.bin", folder / "line.bin"
    sha256 = _random_file(file, LARGE)
    with start("range_storage", "--folder", str(file.parent), "--pace", str(LINE)) as server:
        seconds, peak = _ours(_downloading(server, file, target, sha256))
        target.unlink()
        plain = asyncio.run(_plain(f"{server.url}/files/{file.name}", target, sha256))
    ratio = plain / seconds
    quick, lean = ratio >= LINE_LEAST, peak <= MEMORY_MOST
    print(f"\n{LARGE / MB:.0f} MB over a line of {LINE / MB:.0f} MB/s, checked")
    print(f"  {LARGE / seconds / MB:.0f} MB/s, {ratio:.2f} x a plain GET ({LARGE / plain / MB:.0f} MB/s)")
    print(f"  at least {LINE_LEAST} x: {'met' if quick else 'MISSED'}")
    print(f"  {peak / MB:.0f} MB of memory above the start")
    print(f"  at most {MEMORY_MOST / MB:.0f} MB: {'met' if lean else 'MISSED'}")
    file.unlink()
    target.unlink()
    return quick and lean


def _large(folder: Path) -> bool:
    file, target = folder / "served" / "large.bin", folder / "large.bin"
    sha256 = _random_file(file, LARGE)
    rates: dict[str, list[float]] = {"plain": [], "plain, checked": [], "ours": []}
    peaks = []
    with start("range_storage", "--folder", str(file.parent)) as server:
        for _ in range(ROUNDS):
            for kind in random.sample(list(rates), len(rates)):
                os.sync()
                if kind == "ours":
                    seconds, peak = _ours(_downloading(server, file, target, sha256))
                    peaks.append(peak)
                else:
                    url = f"{server.url}/files/{file.name}"
                    seconds = asyncio.run(_plain(url, target, sha256 if "checked" in kind else None))
                rates[kind].append(LARGE / seconds)
                target.unlink()
    plain, checked, ours = (statistics.median(found) for found in rates.values())
    print(f"\n{LARGE / MB:.0f} MB from this computer to the disk (median of {ROUNDS}, in turns)")
    print(f"  {plain / MB:6.0f} MB/s  plain GET, not checked")
    print(f"  {checked / MB:6.0f} MB/s  plain GET, checked as it comes")
    print(f"  {ours / MB:6.0f} MB/s  ours, checked:")
    print(f"          {ours / checked:.2f} x the checked one, {ours / plain:.2f} x the other")
    quick, lean = ours >= RATIO_LEAST * checked, max(peaks) <= MEMORY_MOST
    print(f"  at least {RATIO_LEAST} x the checked one: {'met' if quick else 'MISSED'}")
    print(f"  memory above the start: {max(peaks) / MB:.0f} MB at most")
    print(f"  at most {MEMORY_MOST / MB:.0f} MB: {'met' if lean else 'MISSED'}")
    return quick and lean


def _ours(command: list[str]) -> tuple[float, int]:
    """Returns the seconds it took, and the peak of its memory above its start, in bytes."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    *_, seconds, _, peak = done.stdout.split()
    return float(seconds), int(peak)


async def _plain(url: str, target: Path, sha256: str | None) -> float:
    """What anybody would write: a GET whose pieces go to the disk as they come. Returns the seconds."""
    digest = hashlib.sha256()
    http = Http()
    await http.warm_up()
    began = time.perf_counter()
    reply = await http.send("GET", url, Reach.THIS_MACHINE, None, {}, redirects=True)
    reply.close()
    async with http.stream("GET", reply.headers["location"], allowed=Reach.THIS_MACHINE) as reply:
        with target.open("wb") as file:
            while piece := await reply.next_piece():
                file.write(piece)
                if sha256 is not None:
                    digest.update(piece)
            file.flush()
            os.fsync(file.fileno())
    assert sha256 in (None, digest.hexdigest())
    seconds = time.perf_counter() - began
    await http.aclose()
    return seconds


def _downloading(server: RunningServer, file: Path, target: Path, sha256: str) -> list[str]:
    what = [f"{server.url}/files/{file.name}", str(target), sha256, str(file.stat().st_size)]
    return [sys.executable, "-m", "tests.wire.downloading", *what]


def _sent(server: RunningServer) -> int:
    with urllib.request.urlopen(f"{server.url}/__test__/sent") as answer:
        return int(answer.read())


def _random_file(path: Path, size: int) -> str:
    """Returns its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(size // MB):
            block = os.urandom(MB)
            file.write(block)
            digest.update(block)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
