"""What of an import is new here: a file that is taken in twice adds nothing the second time."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from whisper_desktop.chat.importing.found import Imported, ImportReport
from whisper_desktop.chat.records import Conversation, Node
from whisper_desktop.values import Reach


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is to be written: heads of conversations, and messages with the conversation that they are of.

    `data` are the bytes of attachments that these need; `report` is what to tell.
    """

    conversations: tuple[Conversation, ...]
    nodes: tuple[tuple[str, Node], ...]
    data: Mapping[str, bytes]
    report: ImportReport


def arriving(
    imported: Imported,
    here: Mapping[str, tuple[Conversation, Collection[str]]],
    folders: Collection[str] = (),
    *,
    farthest: Reach = Reach.THIS_MACHINE,
) -> Arrival:
    """What of an import is to be written.

    `here` are those of its conversations that the store has (in the bin, too), each with the ids of its
    messages; `folders` the folders there are. A conversation that has grown gets what is new, and shows it
    where the person was at its end; one that was in the bin comes back. What is here is never changed
    otherwise. No file lets prompts go farther than `farthest`: one that asks for it has its wish left out.
    """
    heads: list[Conversation] = []
    nodes: list[tuple[str, Node]] = []
    fresh = grown = already = 0
    for conversation, found in imported.conversations:
        if conversation.id not in here:
            fresh += 1
            folder = conversation.folder if conversation.folder in folders else None
            wishes = conversation.wishes
            if wishes.reach is not None and not farthest.allows(wishes.reach):
                wishes = replace(wishes, reach=None)
            heads.append(replace(conversation, folder=folder, wishes=wishes, deleted=None))
            nodes += [(conversation.id, node) for node in found]
            continue
        head, known = here[conversation.id]
        added = [node for node in found if node.id not in known]
        if not added and head.deleted is None:
            already += 1
            continue
        grown += 1
        nodes += [(conversation.id, node) for node in added]
        heads.append(_grown(head, conversation, found))
    needed = {one.id for _id, node in nodes for one in node.attachments}
    needed |= {one.id for head in heads for one in head.draft.attachments}
    report = ImportReport(
        source=imported.source,
        conversations=fresh,
        messages=len(nodes),
        grown=grown,
        already=already,
        ids=tuple(head.id for head in heads),
        skipped=imported.skipped,
    )
    data = {key: value for key, value in imported.data.items() if key in needed}
    return Arrival(tuple(heads), tuple(nodes), data, report)


def _grown(head: Conversation, arrived: Conversation, found: Collection[Node]) -> Conversation:
    """The head of a conversation that is here, with what came; its own title, folder and wishes stay."""
    parents = {node.id: node.parent for node in found}
    above, node = set[str](), arrived.leaf
    while node is not None and node not in above:
        above.add(node)
        node = parents.get(node)
    went_on = head.leaf is None or head.leaf in above
    return replace(
        head,
        leaf=arrived.leaf if went_on else head.leaf,
        updated=max(head.updated, arrived.updated),
        deleted=None,
    )
