"""Conversations of other programs arrive with their branches, and what is not taken along is said."""

import copy
import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chat.attachment_files import png
from whisper_desktop.chat.exporting import Kept, export_html, export_json, export_markdown
from whisper_desktop.chat.files import FileError
from whisper_desktop.chat.importing import Imported, arriving, read_import, reading, sources
from whisper_desktop.chat.importing.tree import Piece, build, rooted
from whisper_desktop.chat.records import Attachment, ChatWishes, Conversation, Node, TurnState
from whisper_desktop.errors import ConsentRequired
from whisper_desktop.values import Reach, Role

FAILED = {
    "backend": "ollama",
    "server_name": "Ollama",
    "url": "",
    "model": None,
    "kind": None,
    "detail": "",
    "seconds": 1.0,
}
SAMPLES = Path(__file__).with_name("samples")
CHATGPT = SAMPLES / "chatgpt.json"
LM_STUDIO = SAMPLES / "lm_studio.conversation.json"
JAN = SAMPLES / "jan" / "threads"
OPEN_WEBUI = SAMPLES / "open_webui.json"


def _only(imported: Imported) -> tuple[Conversation, dict[str, Node]]:
    """The one conversation, and its messages by their text."""
    ((conversation, nodes),) = imported.conversations
    return conversation, {node.text: node for node in nodes}


def _path(conversation: Conversation, nodes: dict[str, Node]) -> list[str]:
    by_id = {node.id: node for node in nodes.values()}
    said, node = [], by_id.get(conversation.leaf or "")
    while node is not None:
        said.append(node.text)
        node = by_id.get(node.parent or "")
    return said[::-1]


def _written(folder: Path, document: object, name: str = "a.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(document))
    return path


# --- ChatGPT ----------------------------------------------------------------------------------------------


def test_chatgpt_arrives_with_its_branches_models_and_reasoning() -> None:
    imported = read_import(CHATGPT)
    assert imported.source == "ChatGPT"
    conversation, nodes = _only(imported)
    assert (conversation.title, conversation.created) == ("Bread without yeast", 1750000000.0)
    assert _path(conversation, nodes) == [
        "How do I bake bread without yeast?",
        "Use baking soda and buttermilk.",
        "How many loaves are in the picture, and what do 3 of 2.40 cost?",
        "I see one loaf.\n\nThree of them cost 7.20.",
    ]
    first, other = nodes["How do I bake bread without yeast?"], nodes["How do I bake flat bread?"]
    assert first.parent is other.parent is None  # wordings of one question
    answer = nodes["Use baking soda and buttermilk."]
    assert answer.reasoning == "Raising agents\nSoda and acid raise dough."
    assert answer.provenance is not None
    assert (answer.provenance.model, answer.provenance.reach) == ("gpt-5-thinking", Reach.CLOUD)
    assert nodes["One loaf."].parent == nodes["I see one loaf.\n\nThree of them cost 7.20."].parent
    assert nodes["One loaf."].state is TurnState.STOPPED
    assert nodes["I see one loaf.\n\nThree of them cost 7.20."].finish_reason == "length"


def test_what_chatgpt_has_and_we_do_not_take_is_counted() -> None:
    assert read_import(CHATGPT).skipped == (
        "2 steps of tools were left out.",
        "One picture is not in the file, or is none that can be shown.",
        "One attached file is not in the export.",
    )


def test_the_archive_of_chatgpt_brings_its_pictures(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.write(CHATGPT, "conversations.json")
        archive.writestr("user.json", '{"email": "x"}')
        archive.writestr("../../evil.json", "{}")
        archive.writestr("file_00000000abcd1234-sanitized.png", png())
    imported = read_import(tmp_path / "export.zip")
    _conversation, nodes = _only(imported)
    (picture,) = nodes["How many loaves are in the picture, and what do 3 of 2.40 cost?"].attachments
    assert (picture.media_type, imported.data[picture.id]) == ("image/png", png())
    assert not any("picture" in sentence for sentence in imported.skipped)
    assert [path.name for path in tmp_path.iterdir()] == ["export.zip"]


def test_an_archive_in_several_numbered_files_is_read_whole(tmp_path: Path) -> None:
    (one,) = json.loads(CHATGPT.read_text())[:1]
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for number in range(3):
            archive.writestr(
                f"conversations-00{number}.json", json.dumps([one | {"conversation_id": str(number)}])
            )
    assert len(read_import(tmp_path / "export.zip").conversations) == 3


# --- LM Studio --------------------------------------------------------------------------------------------


def test_lm_studio_arrives_with_its_versions_as_branches() -> None:
    imported = read_import(LM_STUDIO)
    assert imported.source == "LM Studio"
    conversation, nodes = _only(imported)
    assert (conversation.title, conversation.pinned) == ("Names for a boat", True)
    assert conversation.created == 1750000100.0
    assert conversation.wishes.system == "You like the sea."
    assert _path(conversation, nodes) == [
        "Suggest a name for a small boat.",
        "Dinghy Dell.",
        "Draw it.",
        "Here it would be.",
    ]
    first = nodes["Skiff."]
    assert first.parent == nodes["Dinghy Dell."].parent
    assert first.reasoning == "Short and friendly."
    assert first.provenance is not None
    assert (first.provenance.model, first.provenance.tokens_per_second) == ("qwen/qwen3-4b", 41.5)
    assert (first.provenance.ttft_seconds, first.provenance.reach) == (0.21, Reach.THIS_MACHINE)
    assert nodes["Dinghy Dell."].state is TurnState.STOPPED


def test_the_pictures_that_lm_studio_keeps_beside_its_conversations_come_along(tmp_path: Path) -> None:
    (tmp_path / "conversations" / "boats").mkdir(parents=True)
    (tmp_path / "user-files").mkdir()
    (tmp_path / "user-files" / "1750000150000 - 1.png").write_bytes(png())
    one = tmp_path / "conversations" / "boats" / "1750000100000.conversation.json"
    shutil.copy(LM_STUDIO, one)
    for chosen in (one, tmp_path / "conversations"):
        imported = read_import(chosen)
        _conversation, nodes = _only(imported)
        (picture,) = nodes["Draw it."].attachments
        assert imported.data[picture.id] == png()


def test_a_conversation_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "conversations").mkdir()
    (tmp_path / "user-files").mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    text = LM_STUDIO.read_text()
    for name in ("../secret.png", str(tmp_path / "secret.png"), "..", "..\\\\secret.png"):
        path = tmp_path / "conversations" / "a.conversation.json"
        path.write_text(text.replace("1750000150000 - 1.png", name))
        assert read_import(path).data == {}


# --- Jan --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [JAN, JAN.parent, JAN / "01JCX5R3ZB", JAN / "01JCX5R3ZB" / "thread.json"])
def test_jan_arrives_from_its_folder_or_one_thread(chosen: Path) -> None:
    imported = read_import(chosen)
    assert imported.source == "Jan"
    conversation, nodes = _only(imported)
    assert (conversation.title, conversation.pinned) == ("Packing list", True)
    assert conversation.wishes.system == "You are helpful."
    assert _path(conversation, nodes) == [
        "What do I pack for a hut?",
        "A sleeping bag liner.",
        "Shoes?",
        "Slippers.",
    ]
    (picture,) = nodes["What do I pack for a hut?"].attachments
    assert picture.is_image
    assert picture.id in imported.data
    answer, last = nodes["A sleeping bag liner."], nodes["Slippers."]
    assert (answer.reasoning, last.reasoning) == ("Cold nights.", "Huts ask for slippers.")
    assert answer.created == 1750000215.0
    assert answer.provenance is not None
    assert (answer.provenance.model, answer.provenance.tokens_per_second) == ("Jan-v1-4B-Q4_K_M", 23.25)
    assert last.state is TurnState.STOPPED
    assert imported.skipped == ("One step of a tool was left out.",)


def test_the_same_thread_has_the_same_ids_from_wherever_it_is_read() -> None:
    read = {
        read_import(chosen).conversations
        for chosen in (JAN, JAN.parent, JAN / "01JCX5R3ZB" / "messages.jsonl")
    }
    assert len(read) == 1


# --- Open WebUI -------------------------------------------------------------------------------------------


def test_open_webui_arrives_with_its_branches_files_and_reasoning() -> None:
    imported = read_import(OPEN_WEBUI)
    assert (imported.source, imported.skipped) == ("Open WebUI", ())
    conversation, nodes = _only(imported)
    assert (conversation.title, conversation.pinned) == ("🌤️ Blue sky", True)
    assert conversation.wishes.system == "Answer a child."
    assert _path(conversation, nodes) == [
        "Why is the sky blue?",
        "Short waves are scattered most.",
        "And at sunset?",
        "",
    ]
    picture, notes = nodes["Why is the sky blue?"].attachments
    assert (picture.media_type, notes.text) == ("image/png", "Rayleigh, 1871")
    assert imported.data[notes.id] == b"Rayleigh, 1871"
    assert nodes["Short waves are scattered most."].reasoning == "Short waves scatter more.\nFourth power."
    assert nodes["Scattering."].parent == nodes["Short waves are scattered most."].parent
    failed = nodes[""]
    assert failed.state is TurnState.FAILED
    assert str(failed.error) == "The server ran out of memory."


def test_a_chat_of_open_webui_by_itself_is_read_too(tmp_path: Path) -> None:
    (one,) = json.loads(OPEN_WEBUI.read_text())
    assert len(read_import(_written(tmp_path, one["chat"])).conversations) == 1


# --- taken in twice ---------------------------------------------------------------------------------------


def _here(*kept: tuple[Conversation, tuple[Node, ...]]) -> dict[str, tuple[Conversation, frozenset[str]]]:
    return {head.id: (head, frozenset(node.id for node in nodes)) for head, nodes in kept}


def test_an_import_that_is_new_is_taken_in_whole() -> None:
    imported = read_import(SAMPLES)
    arrival = arriving(imported, {})
    assert (arrival.report.conversations, arrival.report.already) == (4, 0)
    assert len(arrival.nodes) == arrival.report.messages == 21
    assert arrival.data == imported.data
    assert arrival.report.skipped == imported.skipped


def test_a_file_that_is_taken_in_twice_adds_nothing() -> None:
    imported = read_import(SAMPLES)
    again = arriving(read_import(SAMPLES), _here(*imported.conversations))
    assert (again.conversations, again.nodes, dict(again.data)) == ((), (), {})
    assert (again.report.conversations, again.report.already) == (0, 4)


def test_a_conversation_that_has_grown_gets_what_is_new_and_shows_it() -> None:
    imported = read_import(OPEN_WEBUI)
    ((whole, nodes),) = imported.conversations
    earlier = replace(whole, leaf=nodes[3].id, title="Mine", updated=1.0, pinned=False)
    arrival = arriving(imported, _here((earlier, nodes[:4])))
    assert arrival.nodes == ((whole.id, nodes[4]),)
    assert arrival.conversations == (replace(earlier, leaf=whole.leaf, updated=whole.updated),)
    assert (arrival.report.grown, arrival.report.messages) == (1, 1)


def test_a_person_who_is_in_another_branch_stays_there() -> None:
    imported = read_import(OPEN_WEBUI)
    ((whole, nodes),) = imported.conversations
    elsewhere = replace(whole, leaf=nodes[1].id)
    (head,) = arriving(imported, _here((elsewhere, nodes[:4]))).conversations
    assert head.leaf == nodes[1].id


def test_what_was_deleted_comes_back() -> None:
    imported = read_import(OPEN_WEBUI)
    ((whole, nodes),) = imported.conversations
    arrival = arriving(imported, _here((replace(whole, deleted=5.0), nodes)))
    assert [head.deleted for head in arrival.conversations] == [None]


def test_a_folder_that_is_not_here_is_left() -> None:
    ((whole, nodes),) = read_import(OPEN_WEBUI).conversations
    filed = Imported("x", ((replace(whole, folder="f"), nodes),))
    assert [head.folder for head in arriving(filed, {}).conversations] == [None]
    assert [head.folder for head in arriving(filed, {}, ["f"]).conversations] == ["f"]


def test_a_file_cannot_let_prompts_go_farther_than_the_person_does() -> None:
    ((whole, nodes),) = read_import(OPEN_WEBUI).conversations

    def reach_of(wish: Reach, farthest: Reach) -> Reach | None:
        wished = Imported("x", ((replace(whole, wishes=ChatWishes(reach=wish)), nodes),))
        (head,) = arriving(wished, {}, farthest=farthest).conversations
        return head.wishes.reach

    assert reach_of(Reach.CLOUD, Reach.MY_NETWORK) is None
    assert reach_of(Reach.MY_NETWORK, Reach.MY_NETWORK) is Reach.MY_NETWORK
    assert reach_of(Reach.THIS_MACHINE, Reach.CLOUD) is Reach.THIS_MACHINE


# --- what is no export, too much, or hostile --------------------------------------------------------------


def _refused(path: Path) -> FileError:
    with pytest.raises(FileError) as caught:
        read_import(path)
    assert caught.value.next_step.endswith(".")
    return caught.value


def test_what_is_no_export_is_said(tmp_path: Path) -> None:
    for data in (b"", b"hello", b"{}", b"[]", b"[1]", b'{"messages": []}', b"\xff\xfe", b"[" * 100_000):
        (tmp_path / "a.json").write_bytes(data)
        assert "no conversations that can be read" in _refused(tmp_path / "a.json").title
    os.mkfifo(tmp_path / "pipe")
    assert _refused(tmp_path / "pipe").title == "pipe is not a file."
    assert "not there any more" in _refused(tmp_path / "gone.json").title


def test_an_export_of_a_newer_version_asks_for_an_update(tmp_path: Path) -> None:
    document = {"format": "whisper-desktop-conversations", "version": 2, "conversations": []}
    assert "newer version" in _refused(_written(tmp_path, document)).title


def test_an_archive_that_unpacks_to_too_much_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LARGEST", 1_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", b" " * 5_000_000)
    assert "when it is unpacked" in _refused(tmp_path / "bomb.zip").title


def test_an_archive_that_lies_about_its_sizes_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LARGEST", 1_000_000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", b" " * 5_000_000)
    small = packed.getvalue().replace((5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    (tmp_path / "bomb.zip").write_bytes(small)
    _refused(tmp_path / "bomb.zip")


def test_a_document_of_more_values_than_memory_holds_is_given_up_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_MOST_VALUES", 100)
    (tmp_path / "a.json").write_text("[" + "[]," * 60 + "[]]")
    assert _refused(tmp_path / "a.json").title == "a.json takes too much memory to read."
    (tmp_path / "a.json").write_text("[" + "[]," * 40 + "[]]")
    assert "no conversations" in _refused(tmp_path / "a.json").title


def test_many_files_that_are_too_much_together_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = OPEN_WEBUI.read_text()
    monkeypatch.setattr(sources, "LARGEST", len(one.encode()) * 2)
    for number in range(4):
        (tmp_path / f"{number}.json").write_text(one.replace("0b7c7a52", f"{number}b7c7a52"))
    imported = read_import(tmp_path)
    assert len(imported.conversations) == 2
    assert imported.skipped == ("2 conversations could not be read.",)


def test_damaged_and_locked_archives_are_said(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(CHATGPT, "conversations.json")
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[:60] + b"\0" * 40 + whole[100:])
    assert "damaged or locked" in _refused(tmp_path / "a.zip").title
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.write(CHATGPT, "conversations.json")
    packed = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(packed[:70] + b"\xff" * 40 + packed[110:])
    assert "damaged or locked" in _refused(tmp_path / "a.zip").title
    locked = bytearray(whole)
    locked[6] |= 1  # the bit that says that a file is locked, in its own header and in the archive's list
    locked[whole.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(locked)
    assert "damaged or locked" in _refused(tmp_path / "a.zip").title


def test_one_file_of_a_folder_that_cannot_be_read_is_counted_and_the_others_are_read(tmp_path: Path) -> None:
    shutil.copy(OPEN_WEBUI, tmp_path / "a.json")
    (tmp_path / "b.json").symlink_to(tmp_path / "gone.json")
    imported = read_import(tmp_path)
    assert len(imported.conversations) == 1
    assert imported.skipped == ("One conversation could not be read.",)


def test_a_folder_with_too_many_files_is_not_walked_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MOST_FILES", 3)
    for number in range(5):
        (tmp_path / f"{number}.json").write_text("{}")
    assert "more than 3 files" in _refused(tmp_path).title


def test_circles_and_missing_parents_leave_a_tree(tmp_path: Path) -> None:
    message = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["x"]}}
    parents = {"a": "b", "b": "c", "c": "a", "d": "nobody", "e": "e", "f": "a"}
    mapping = {key: {"id": key, "parent": parent, "message": message} for key, parent in parents.items()}
    imported = read_import(_written(tmp_path, [{"mapping": mapping, "title": "t", "current_node": "f"}]))
    ((_conversation, nodes),) = imported.conversations
    _check(imported)
    assert len(nodes) == 6


def test_a_chain_of_fifty_thousand_messages_is_read(tmp_path: Path) -> None:
    message = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["x"]}}
    mapping = {str(n): {"parent": str(n - 1), "message": message} for n in range(50_000)}
    ((_head, nodes),) = read_import(_written(tmp_path, [{"mapping": mapping}])).conversations
    assert len(nodes) == 50_000


@given(st.dictionaries(st.integers(0, 12), st.none() | st.integers(0, 14), max_size=12))
def test_rooting_keeps_everything_and_puts_parents_first(parents: dict[int, int | None]) -> None:
    told = {str(key): None if parent is None else str(parent) for key, parent in parents.items()}
    tree = rooted(told)
    assert set(tree) == set(told)
    seen: set[str] = set()
    for key, parent in tree.items():
        assert parent is None or parent in seen
        assert parent in (None, told[key])
        seen.add(key)


def test_a_hidden_message_of_chatgpt_is_stepped_over(tmp_path: Path) -> None:
    def message(text: str, **meta: object) -> object:
        content = {"content_type": "text", "parts": [text]}
        return {"author": {"role": "user"}, "content": content, "metadata": meta}

    mapping = {
        "a": {"parent": None, "message": message("seen")},
        "b": {"parent": "a", "message": message("hidden", is_visually_hidden_from_conversation=True)},
        "c": {"parent": "b", "message": message("below")},
    }
    _head, nodes = _only(read_import(_written(tmp_path, [{"mapping": mapping}])))
    assert set(nodes) == {"seen", "below"}
    assert nodes["below"].parent == nodes["seen"].id


def test_only_steps_that_follow_one_another_become_one_answer() -> None:
    def answer(key: str, parent: str | None) -> Piece:
        return Piece(key, parent, Role.ASSISTANT, key)

    steps = build("c", [answer("a", None), answer("b", "a"), answer("c", "b")], 1.0)
    assert [node.text for node in steps.nodes] == ["a\n\nb\n\nc"]
    branches = build("c", [answer("a", None), answer("b", "a"), answer("c", "a")], 1.0)
    assert [node.text for node in branches.nodes] == ["a", "b", "c"]
    assert {node.parent for node in branches.nodes[1:]} == {branches.nodes[0].id}


# --- our own, tampered with -------------------------------------------------------------------------------


def test_what_somebody_wrote_into_our_own_export_is_not_believed(tmp_path: Path) -> None:
    document = _own()
    (sky,) = [one for one in document["conversations"] if "sky" in one["title"]]
    messages = sky["messages"]
    _picture, notes = (one["id"] for one in messages[0]["attachments"])
    document["attachments"][notes] = "ZXZpbA=="  # the bytes are others
    messages[0]["attachments"][0]["media_type"] = "image/svg+xml"
    messages[1] |= {"state": "streaming", "seams": [{"position": 99, "failed": FAILED}]}
    messages[2]["created"] = float("inf")
    messages[3]["id"] = "../x"
    sky |= {"place": {"message": "nowhere", "above": 0.5}, "leaf": "nowhere", "deleted": None}
    imported = read_import(_written(tmp_path, document))
    (found,) = [each for each in imported.conversations if "sky" in each[0].title]
    head, nodes = found
    assert [node.text for node in nodes] == ["Why is the sky blue?", "Scattering.", ""]
    assert [one.id for one in nodes[0].attachments] == [notes]
    assert notes not in imported.data
    assert (nodes[1].state, nodes[1].seams) == (TurnState.STOPPED, ())
    assert nodes[2].parent is None  # what it hung below is gone
    assert (head.place, head.leaf) == (None, nodes[2].id)
    assert imported.skipped == (
        "2 messages could not be read.",
        "One picture is not in the file, or is none that can be shown.",
        "One attached file is not in the export.",
    )


def test_an_error_in_our_own_export_brings_its_words_and_no_buttons_and_links(tmp_path: Path) -> None:
    document = _own()
    (sky,) = [one for one in document["conversations"] if "sky" in one["title"]]
    answer = next(each for each in sky["messages"] if each["role"] == "assistant")
    answer["state"] = "failed"
    answer["error"] = {
        "type": "ConsentRequired",
        "title": "Nothing answers.",
        "needed": "cloud",
        "repairs": [{"id": "x", "label": "Mend", "detail": "", "change": "x", "command": "rm -r ~"}],
        "setup_guidance": {"headline": "Click", "steps": [], "links": [{"label": "x", "url": "http://x.y"}]},
    }
    nodes = {
        node.id: node
        for _, found in read_import(_written(tmp_path, document)).conversations
        for node in found
    }
    error = nodes[answer["id"]].error
    assert isinstance(error, ConsentRequired)
    assert error.title == "Nothing answers."
    assert (error.needed, error.repairs, error.setup_guidance) == (None, (), None)


# --- mutated --------------------------------------------------------------------------------------------

ODD: list[object] = [None, True, -1, 1e308, 10**30, "", "\ud800", "\0", "x" * 300, [], {}, [None], {"a": []}]


def _places(value: object) -> list[tuple[Any, Any]]:
    """Every place in a document that can be written to."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        found += [(value, key) for key in value]
    elif isinstance(value, list):
        found += [(value, place) for place in range(len(value))]
    for holder, key in list(found):
        found += _places(holder[key])
    return found


def _mutated(document: Any, draw: random.Random) -> Any:
    document = copy.deepcopy(document)
    for _ in range(draw.randrange(1, 6)):
        places = _places(document)
        if not places:
            break
        holder, key = draw.choice(places)
        match draw.randrange(4):
            case 0:
                holder[key] = copy.deepcopy(draw.choice(ODD))
            case 1:
                del holder[key]
            case 2:
                other, place = draw.choice(places)
                holder[key] = copy.deepcopy(other[place]) if _still(other, place) else None
            case _:
                holder[key] = [holder[key]]
    return document


def _still(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else key < len(holder)


def _check(imported: Imported) -> None:
    """What every import promises, whatever the file said."""
    for head, nodes in imported.conversations:
        ids = [node.id for node in nodes]
        assert len(ids) == len(set(ids))
        assert head.leaf in ids or not ids
        for place, node in enumerate(nodes):
            assert node.parent is None or node.parent in ids[:place]
            assert 0 <= node.created < 2.6e11
            assert node.role in (Role.USER, Role.ASSISTANT, Role.SYSTEM, Role.TOOL)
            (node.text + node.reasoning + head.title + head.wishes.system).encode()
            assert "\0" not in node.text
            assert all(isinstance(one, Attachment) and one.size_bytes >= 0 for one in node.attachments)
        kept = Kept(head, nodes, imported.data)
        for export in (export_markdown, export_html):
            export(kept).encode()


def _own() -> Any:
    imported = read_import(SAMPLES)
    return json.loads(
        export_json([Kept(head, nodes, imported.data) for head, nodes in imported.conversations])
    )


DOCUMENTS: dict[str, Callable[[], Any]] = {
    "chatgpt": lambda: json.loads(CHATGPT.read_text()),
    "lm_studio": lambda: json.loads(LM_STUDIO.read_text()),
    "open_webui": lambda: json.loads(OPEN_WEBUI.read_text()),
    "own": _own,
}


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.randoms(use_true_random=False))
def test_no_mutated_export_breaks_the_import(tmp_path: Path, name: str, draw: random.Random) -> None:
    path = _written(tmp_path, _mutated(DOCUMENTS[name](), draw))
    try:
        imported = read_import(path)
    except FileError:
        return
    _check(imported)
    assert repr(read_import(path)) == repr(imported)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.randoms(use_true_random=False))
def test_no_mutated_thread_of_jan_breaks_the_import(tmp_path: Path, draw: random.Random) -> None:
    folder = JAN / "01JCX5R3ZB"
    _written(tmp_path, _mutated(json.loads((folder / "thread.json").read_text()), draw), "thread.json")
    lines = [json.loads(line) for line in (folder / "messages.jsonl").read_text().splitlines()]
    mutated = [json.dumps(_mutated(line, draw)) for line in lines]
    mutated[draw.randrange(4)] = draw.choice(["", "{", "null", "[]", mutated[0]])
    (tmp_path / "messages.jsonl").write_text("\n".join(mutated))
    _check(read_import(tmp_path))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(min_size=1, max_size=8), share=st.floats(0, 1, exclude_max=True))
def test_no_damaged_file_breaks_the_import(tmp_path: Path, noise: bytes, share: float) -> None:
    whole = CHATGPT.read_bytes()
    place = int(share * len(whole))
    (tmp_path / "a.json").write_bytes(whole[:place] + noise + whole[place + len(noise) :])
    try:
        _check(read_import(tmp_path / "a.json"))
    except FileError:
        return
