"""`App.models`: what front ends hold, over real files, a real hub and a real engine."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.models_world import LARGE, hub_servers, write_model
from tests.integration.worlds import world
from tests.ports import closed_port
from tests.servers.launch import RunningServer
from whisper_desktop.advice import Purpose
from whisper_desktop.app import App
from whisper_desktop.errors import ModelFileError, SettingsError, TransferError
from whisper_desktop.models.download_jobs import Job
from whisper_desktop.models.downloads import Downloads
from whisper_desktop.settings import remember
from whisper_desktop.values import Message, ModelType, Role

__all__ = ["hub_servers"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The app's folders and the person's home, both empty."""
    monkeypatch.setenv("WHISPER_HOME", str(tmp_path / "whisper"))
    (tmp_path / "person").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    for name in ("OLLAMA_MODELS", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@asynccontextmanager
async def app_here(hub: RunningServer | None = None, **settings: Any) -> AsyncIterator[App]:
    env = {"HF_ENDPOINT": hub.url if hub is not None else f"http://127.0.0.1:{closed_port()}"}
    async with world(env=env, **settings) as app:
        yield app


def _own(home: Path, name: str = "mine.gguf") -> Path:
    return home / "whisper" / "data" / "models" / name


async def _ended(downloads: Downloads, number: int) -> Job:
    async with aclosing(downloads.watch()) as states:
        async for jobs in states:
            job = next(job for job in jobs if job.id == number)
            if job.state in ("done", "failed"):
                return job
    raise AssertionError("the queue was closed")


# --- the shelf --------------------------------------------------------------------------------------------


async def test_the_shelf_is_looked_at_once_until_it_is_asked_for_again(home: Path) -> None:
    async with app_here() as app:
        assert (await app.models.shelf()).models == ()
        write_model(_own(home))
        assert (await app.models.shelf()).models == ()
        shelf = await app.models.shelf(again=True)
        assert [(model.name, model.type) for model in shelf.models] == [("mine", ModelType.CHAT)]
    assert (home / "whisper" / "cache" / "shelf.json").exists()


async def test_folders_that_the_person_named_are_looked_at_too(home: Path) -> None:
    write_model(home / "far" / "away.gguf")
    async with app_here(llm__model_folders=[str(home / "far")]) as app:
        assert [model.source for model in (await app.models.shelf()).models] == ["folder"]


async def test_a_drive_that_is_not_there_leaves_the_other_models(home: Path) -> None:
    write_model(home / "person" / ".lmstudio" / "models" / "o" / "r" / "theirs.gguf")
    async with app_here(llm__model_cache_dir=str(home / "unplugged" / "models")) as app:
        shelf = await app.models.shelf()
        assert [model.name for model in shelf.models] == ["theirs"]
        assert "unplugged" in shelf.problems[0]
        with pytest.raises(SettingsError, match="unplugged"):
            _ = app.models.downloads


async def test_a_model_is_found_by_what_the_catalogue_calls_its_file(home: Path) -> None:
    async with app_here() as app:
        entry = (await app.models.catalogue()).find("Qwen3-0.6B")
        assert entry is not None
        sized = write_model(_own(home, entry.file.rpartition("/")[2]))
        os.truncate(sized, entry.file_bytes)
        found = await app.models.model("qwen3-0.6b")
        assert found.path == sized
        with pytest.raises(ModelFileError, match="is called nothing"):
            await app.models.model("nothing")


async def test_deleting_what_was_read_before_is_seen_at_once(home: Path) -> None:
    file = write_model(_own(home))
    async with app_here() as app:
        model = await app.models.model("mine")
        assert abs(await app.models.frees(model) - LARGE) < 10_000
        with pytest.raises(ModelFileError, match="was not deleted"):
            await app.models.delete(model, in_use=[file])
        await app.models.delete(model)
        assert not file.exists()
        assert (await app.models.shelf()).models == ()


# --- using ------------------------------------------------------------------------------------------------


async def test_a_model_that_is_chosen_is_the_engine_s_and_stays_it(home: Path) -> None:
    file = write_model(_own(home))
    async with app_here() as app:
        model = await app.models.model("mine")
        assert not app.models.is_own(model)
        assert (await app.models.use("mine")).remark == ""
        assert app.models.is_own(model)
        plan = await app.host.plan(file, app.loaded.settings.llm)
        assert plan.spec.model_path == file
    async with app_here() as app:
        assert app.loaded.settings.llm.own_model == file


async def test_what_a_person_wrote_into_their_settings_gives_way_to_the_newest_choice(home: Path) -> None:
    first, second = write_model(_own(home, "first.gguf")), write_model(_own(home, "second.gguf"))
    config = home / "whisper" / "config" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(f"llm:\n  llamacpp:\n    model_path: {first}\n")
    async with app_here() as app:
        assert app.loaded.settings.llm.own_model == first
        await app.models.use("second")
        assert app.loaded.settings.llm.own_model == second


async def test_a_model_that_has_run_was_used(home: Path) -> None:
    file = write_model(_own(home))
    async with app_here(llm__gguf_model_path=str(file), llm__llamacpp__n_ctx=256) as app:
        await app.start_engine()
        with pytest.raises(ModelFileError, match="was not deleted"):
            await app.models.delete(await app.models.model("mine"))
    used = json.loads((home / "whisper" / "data" / "models-used.json").read_text())
    assert list(used["models"]) == [str(file)]
    async with app_here() as app:
        assert (await app.models.model("mine")).last_used is not None


# --- advice -----------------------------------------------------------------------------------------------


async def test_the_ranking_knows_the_person_s_own_models_as_soon_as_they_are_written(home: Path) -> None:
    async with app_here() as app:
        before = await app.models.rank(Purpose.CODE)
        assert before.purpose is Purpose.CODE
        own = home / "whisper" / "config" / "models.yaml"
        own.write_text(
            "models:\n- id: Mine\n  repo: me/mine\n  file: mine-Q4_K_M.gguf\n  size: {bytes: 1000000000}\n"
        )
        after = await app.models.rank()
        assert "Mine" in [model.id for model, _ in after.rejected]


async def test_the_wizard_s_advice_follows_from_the_same_ranking(home: Path) -> None:
    async with app_here() as app:
        advice, ranking = await app.models.advise()
        assert await app.recommend() == advice
        named = (*advice.recommended_models, *(other.model for other in advice.alternatives))
        assert not ranking.choices or ranking.choices[0].model.id in " ".join(filter(None, named))


async def test_an_entry_without_a_shape_is_weighed_by_the_header_of_its_file(
    home: Path, hub_servers: tuple[Path, RunningServer, RunningServer]
) -> None:
    folder, hub, _ = hub_servers
    file = write_model(folder / "shapes" / "bare" / "bare-Q4_K_M.gguf")
    own = home / "whisper" / "config" / "models.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(
        f"models:\n- id: Bare\n  repo: shapes/bare\n  file: {file.name}\n  size: {{bytes: {LARGE}}}\n"
    )
    async with app_here(hub) as app:
        told = await app.models.fit("Bare")
        assert (told.subject.known_from, told.subject.shape.knows_cache) == ("header", True)
        assert told.fit is not None
    async with app_here() as app:
        with pytest.raises(TransferError, match="cannot be asked"):
            await app.models.fit("Bare")


async def test_a_file_of_the_catalogue_is_weighed_by_the_catalogue_without_a_network(home: Path) -> None:
    async with app_here() as app:
        entry = (await app.models.catalogue()).find("Qwen3-0.6B")
        assert entry is not None
        told = await app.models.fit(f"{entry.repo}/{entry.file}")
        assert told.subject.known_from == "catalogue"
        assert "So these are the figures of the catalogue." in told.subject.note


async def test_what_a_program_would_fetch_is_told_where_the_catalogue_knows_it(home: Path) -> None:
    async with app_here() as app:
        entry = next(each for each in await app.models.catalogue() if each.ollama)
        assert (await app.models.fit(f"ollama:{entry.ollama}")).subject.name == entry.id
        with pytest.raises(TransferError, match="cannot be told before Ollama has it"):
            await app.models.fit("ollama:nobody/knows:this")


# --- downloads --------------------------------------------------------------------------------------------


async def test_what_is_pulled_is_on_the_shelf_without_looking_again(
    home: Path, hub_servers: tuple[Path, RunningServer, RunningServer]
) -> None:
    folder, hub, _ = hub_servers
    write_model(folder / "hosts" / "one" / "one-Q4_K_M.gguf")
    async with app_here(hub) as app:
        assert (await app.models.shelf()).models == ()
        job = await app.models.pull("hosts/one")
        assert (await _ended(app.models.downloads, job.id)).state == "done"
        assert [model.name for model in (await app.models.shelf()).models] == ["one-Q4_K_M"]


async def test_limits_are_followed_while_it_runs(home: Path) -> None:
    async with app_here() as app:
        downloads = app.models.downloads
        assert (downloads.bandwidth.bytes_per_s, downloads.at_once) == (None, 1)
        await asyncio.to_thread(remember, "downloads.most_mb_per_second", 2.5)
        await asyncio.to_thread(remember, "downloads.at_once", 3)
        await app.reload()
        assert (downloads.bandwidth.bytes_per_s, downloads.at_once) == (2_500_000, 3)


async def test_the_end_of_the_app_keeps_what_is_under_way(
    home: Path, hub_servers: tuple[Path, RunningServer, RunningServer]
) -> None:
    folder, hub, store = hub_servers
    offered = write_model(folder / "hosts" / "two" / "two-Q4_K_M.gguf")
    store.set_fault("slow", "300000")
    try:
        async with app_here(hub) as app:
            job = await app.models.pull("hosts/two")
            async with aclosing(app.models.downloads.watch()) as states:
                async for jobs in states:
                    if jobs[0].progress.done_bytes:
                        break
    finally:
        store.set_fault("none")
    async with app_here(hub) as app:
        await app.models.downloads.open()
        assert [each.state for each in app.models.downloads.jobs()] == ["waiting"]
        await app.models.fetch()
        done = await _ended(app.models.downloads, job.id)
        assert done.target is not None
        assert done.target.read_bytes() == offered.read_bytes()  # noqa: ASYNC240 - nothing else happens


async def test_two_apps_never_fetch_side_by_side(home: Path) -> None:
    async with app_here() as first, app_here() as second:
        await first.models.fetch()
        with pytest.raises(TransferError, match="another window or program"):
            await second.models.fetch()


# --- speeds -----------------------------------------------------------------------------------------------


async def test_what_our_own_engine_reaches_is_kept_and_told_beside_what_was_predicted(home: Path) -> None:
    file = write_model(_own(home))
    settings: dict[str, Any] = {"llm__gguf_model_path": str(file), "llm__llamacpp__n_ctx": 512}
    async with app_here(**settings, llm__fallback_chain=["builtin"]) as app:
        before = await app.models.fit("mine", 512, ask=False)
        async for _ in app.stream([Message(Role.USER, "Hello?")]):
            pass
    async with app_here(**settings) as app:
        speed = (await app.models.fit("mine", 512, ask=False)).speed
        assert speed is not None
        assert before.speed is not None
        assert speed.source == "measured"
        assert speed.predicted == before.speed.answer
