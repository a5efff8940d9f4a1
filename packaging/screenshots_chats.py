"""The conversations that the screenshots show: a list as it looks after some weeks, in two languages."""

import asyncio
import hashlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from whisper_desktop.app.chats import FILE
from whisper_desktop.chat.records import (
    Attachment,
    ChatWishes,
    Conversation,
    Folder,
    Node,
    Parameters,
    TitleSource,
)
from whisper_desktop.chat.store import ConversationStore
from whisper_desktop.values import Deadlines, Provenance, Reach, Role, Usage

DAY = 86_400.0  # seconds
_MATH = r"""The area below the bell curve is found in *polar coordinates*:

$$\left(\int_{-\infty}^{\infty} e^{-x^2}\,dx\right)^2
= \int_0^{2\pi}\!\int_0^{\infty} e^{-r^2} r\,dr\,d\theta = \pi$$

so $\int_{-\infty}^{\infty} e^{-x^2}\,dx = \sqrt{\pi}$. To see it come out:

```python
from math import exp, pi, sqrt

def area(steps: int = 100_000, edge: float = 10.0) -> float:
    width = 2 * edge / steps
    return width * sum(exp(-(-edge + i * width) ** 2) for i in range(steps))

print(area(), sqrt(pi))  # 1.7724538509 both times
```

| Steps | Result | Error |
|------:|-------:|------:|
| 10 | 1.99 | 0.22 |
| 100 | 1.77245 | < 1e-9 |"""
_MATH_DE = (
    _MATH.replace(
        "The area below the bell curve is found in *polar coordinates*:",
        "Die Fläche unter der Glockenkurve ergibt sich in *Polarkoordinaten*:",
    )
    .replace("so $", "also $")
    .replace("To see it come out:", "Zum Nachrechnen:")
    .replace("# 1.7724538509 both times", "# beide Male 1.7724538509")
    .replace("| Steps | Result | Error |", "| Schritte | Ergebnis | Fehler |")
)


@dataclass(frozen=True)
class Words:
    """What is said in the pictures, in one language. Questions that are typed have plain letters only."""

    question: str
    answer: str
    first_answer: str
    short: str
    quick: str
    quick_answer: str
    other_questions: tuple[str, str]
    guide: tuple[str, str]
    folders: tuple[str, str]
    trip: str
    math: tuple[str, str, str]
    files: tuple[str, str, str]
    branches: tuple[str, ...]
    pinned: str
    today: tuple[str, ...]
    yesterday: tuple[str, ...]
    in_folders: tuple[str, ...]
    system: str
    looked_for: str
    found: str


ENGLISH = Words(
    question="Three days around Lisbon, by train. Ideas?",
    answer='''Take the **morning train** from Lisbon: quick, cheap, and the view along the river is worth it.

1. *Sintra*: palaces in the hills, forty minutes away
2. *Évora*: Roman temple, white houses, slow lunch
3. *Porto*: three hours north, best with a night there

A small helper for the budget:

```python
def budget(days: int, a_day: float = 60) -> float:
    """What the trip costs, trains included."""
    return days * a_day + 45
```

| Train | Leaves | Price |
|-------|--------|-------|
| Alfa Pendular | 8:09 | 25 € |
| Intercidades | 9:39 | 19 € |

Three days come to about 225 €.''',
    first_answer="Hello! I am ready to help.",
    short="Sintra, Évora and Porto.",
    quick="How do I say thank you in Portuguese?",
    quick_answer="**Obrigado** if you are a man, **obrigada** if you are a woman.",
    other_questions=("What is a good name for a cat?", "And for a dog?"),
    guide=("How do I add Ollama?", "Does my data leave this computer?"),
    folders=("Travel", "Code"),
    trip="Three days around Lisbon",
    math=("Area below the bell curve", "Why is the area below e^(-x²) the root of π?", _MATH),
    files=(
        "What the timetable says",
        "When does the first train leave on Sunday, and is this the right platform?",
        "On Sundays the first train to Sintra leaves **Rossio at 6:41**. The photo shows the upper hall; "
        "platform 2 is one floor down.",
    ),
    branches=(
        "A name for the boat",
        "Name my boat.",
        "How about *Sardine*?",
        "What about *Saudade*? It is longing, and it sails well.",
        "Something with wind in it?",
        "Then *Nortada*: the steady summer wind from the north.",
    ),
    pinned="Shopping for the week",
    today=("Regular expression for dates", "Letter to the landlord"),
    yesterday=("Bread with more holes", "Why the sky is blue"),
    in_folders=("A week in the Alentejo", "Rewrite the import in Rust", "Flaky test on Windows"),
    system="Answer in short sentences. Say so when you are not sure.",
    looked_for="train",
    found="morning",
)
GERMAN = Words(
    question="Drei Tage rund um Lissabon, mit dem Zug. Ideen?",
    answer='''Nimm von Lissabon den **Zug am Morgen**: schnell, günstig und immer am Fluss entlang.

1. *Sintra*: Paläste in den Hügeln, vierzig Minuten entfernt
2. *Évora*: römischer Tempel, weiße Häuser, langes Mittagessen
3. *Porto*: drei Stunden nach Norden, am besten mit Übernachtung

Ein kleiner Helfer für die Kosten:

```python
def kosten(tage: int, pro_tag: float = 60) -> float:
    """Was die Reise kostet, mit allen Zügen."""
    return tage * pro_tag + 45
```

| Zug | Abfahrt | Preis |
|-----|---------|-------|
| Alfa Pendular | 8:09 | 25 € |
| Intercidades | 9:39 | 19 € |

Drei Tage kosten etwa 225 €.''',
    first_answer="Hallo! Ich bin bereit.",
    short="Sintra, Évora und Porto.",
    quick="Wie sagt man Danke auf Portugiesisch?",
    quick_answer="**Obrigado** sagt ein Mann, **obrigada** eine Frau.",
    other_questions=("Wie soll die Katze heissen?", "Und der Hund?"),
    guide=("How do I add Ollama?", "Does my data leave this computer?"),
    folders=("Reisen", "Programme"),
    trip="Drei Tage rund um Lissabon",
    math=("Fläche unter der Glockenkurve", "Warum ist die Fläche unter e^(-x²) die Wurzel aus π?", _MATH_DE),
    files=(
        "Was im Fahrplan steht",
        "Wann fährt sonntags der erste Zug, und ist das der richtige Bahnsteig?",
        "Sonntags fährt der erste Zug nach Sintra **um 6:41 Uhr ab Rossio**. Das Foto zeigt die obere Halle; "
        "Gleis 2 liegt ein Stockwerk tiefer.",
    ),
    branches=(
        "Ein Name für das Boot",
        "Gib meinem Boot einen Namen.",
        "Wie wäre *Sardine*?",
        "Vielleicht *Saudade*? Das ist Sehnsucht, und sie segelt gut.",
        "Etwas mit Wind?",
        "Dann *Nortada*: der beständige Sommerwind aus dem Norden.",
    ),
    pinned="Einkauf für die Woche",
    today=("Regulärer Ausdruck für Daten", "Brief an den Vermieter"),
    yesterday=("Brot mit mehr Poren", "Warum der Himmel blau ist"),
    in_folders=("Eine Woche im Alentejo", "Den Import in Rust neu schreiben", "Wackliger Test unter Windows"),
    system="Antworte in kurzen Sätzen. Sag es, wenn du nicht sicher bist.",
    looked_for="Zug",
    found="Morgen",
)


def fill(home: Path, words: Words) -> None:
    """Put the conversations into the store of this home."""
    asyncio.run(_fill(home / "data" / FILE, words))


async def _fill(file: Path, words: Words) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    store = await ConversationStore.open(file, Deadlines())
    try:
        travel, code = (Folder(f"folder{n}", name, n) for n, name in enumerate(words.folders))
        store.put_folder(travel)
        store.put_folder(code)
        now = time.time()
        photo, timetable = _photo(), b"%PDF"
        picture = Attachment(_name(photo), "rossio.png", "image/png", 214_000)
        paper = Attachment(_name(timetable), "CP-Sintra.pdf", "application/pdf", 182_000, text="6:41")
        store.put_data(picture.id, photo)
        store.put_data(paper.id, timetable)
        ids = (f"n{number:04}" for number in count())
        chats: list[tuple[Conversation, list[Node]]] = []

        def add(title: str, age: float, texts: tuple[str, ...], **more: Any) -> None:
            head, nodes = _chat(f"c{len(chats):03}", title, now - age, texts, ids)
            chats.append((replace(head, **more), nodes))

        title, question, answer = words.math
        add(title, 900, (question, answer))
        title, question, answer = words.files
        add(title, 2_400, (question, answer))
        chats[-1][1][0] = replace(chats[-1][1][0], attachments=(picture, paper))
        title, *texts = words.branches
        add(
            title, 3_600, tuple(texts[:2]), wishes=ChatWishes(system=words.system, parameters=Parameters(0.4))
        )
        chats[-1] = _branched(*chats[-1], tuple(texts[2:]), ids)
        for number, title in enumerate(words.today):
            add(title, 5_000 + 900 * number, (title, words.short))
        for number, title in enumerate(words.yesterday):
            add(title, DAY + 900 * number, (title, words.short))
        add(words.pinned, 3 * DAY, (words.pinned, words.short), pinned=True)
        for number, title in enumerate(words.in_folders):
            folder = travel if number == 0 else code
            add(title, (4 + number) * DAY, (words.question, words.short), folder=folder.id)
        add(words.trip, 20 * DAY, (words.question, words.answer), folder=travel.id)
        for head, nodes in chats:
            store.put(head)
            for node in nodes:
                store.put_node(head.id, node)
        await store.flush()
    finally:
        await store.close()


def _chat(
    name: str, title: str, when: float, texts: tuple[str, ...], ids: Iterator[str]
) -> tuple[Conversation, list[Node]]:
    nodes: list[Node] = []
    for number, text in enumerate(texts):
        parent = nodes[-1].id if nodes else None
        nodes.append(_node(next(ids), parent, text, when + 20 * number, answer=bool(number % 2)))
    head = Conversation(name, when, when, title, TitleSource.MODEL, leaf=nodes[-1].id)
    return head, nodes


def _node(name: str, parent: str | None, text: str, when: float, *, answer: bool) -> Node:
    if not answer:
        return Node(name, parent, Role.USER, text, when)
    tokens = len(text) // 4
    seconds = 0.6 + tokens / 31
    origin = Provenance(
        "lm_studio",
        "LM Studio",
        "http://127.0.0.1:1234",
        "qwen3.5-4b",
        Reach.THIS_MACHINE,
        False,
        "",
        (),
        0.6,
        seconds,
        31.0,
        Usage(60, tokens),
    )
    return Node(name, parent, Role.ASSISTANT, text, when, provenance=origin, finish_reason="stop")


def _branched(
    head: Conversation, nodes: list[Node], texts: tuple[str, ...], ids: Iterator[str]
) -> tuple[Conversation, list[Node]]:
    """The same question answered once more, and gone on from there."""
    other, question, answer = texts
    when = head.created + 60
    beside = _node(next(ids), nodes[0].id, other, when, answer=True)
    asked = _node(next(ids), beside.id, question, when + 20, answer=False)
    last = _node(next(ids), asked.id, answer, when + 40, answer=True)
    return replace(head, leaf=last.id), [*nodes, beside, asked, last]


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _photo() -> bytes:
    """A drawing of hills at dusk, in place of a photo."""
    command = ["convert", "-size", "480x300", "gradient:#3b4f86-#f0a36b"]
    for color, points in (
        ("#6b4f6e", "0,210 120,150 260,215 380,140 480,190 480,300 0,300"),
        ("#3d3350", "0,260 160,215 300,265 480,225 480,300 0,300"),
    ):
        command += ["-fill", color, "-draw", f"polygon {points}"]
    return subprocess.run([*command, "png:-"], check=True, capture_output=True).stdout
