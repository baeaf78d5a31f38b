"""Fenced blocks of Markdown, and the command lines in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "spike_zoo/methods/*/README.md")
DOCUMENTS = sorted(
    {path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in ROOT.glob(pattern)}
    | {"experiments/README.md"}
)
_BLOCK = re.compile(r"^(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$", re.S | re.M)
_LOOP = re.compile(r"^for (\w+) in ([^\n;]+); do\n(.*?)^done$", re.S | re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        document: Where it stands, from the root of the project.
        line: Line of its opening fence.
        language: What the fence says it is.
        text: What stands in it.
    """

    document: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Where it is, as editors take it."""
        return f"{self.document}:{self.line}"


def blocks_of(document: str) -> list[Block]:
    """Return the fenced blocks of a document in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [
        Block(document, text.count("\n", 0, found.start()) + 1, found["info"], found["text"])
        for found in _BLOCK.finditer(text)
    ]


def commands_of(block: Block) -> Iterator[str]:
    """Yield the command lines of a shell block: continued lines joined, loops run, no comments."""
    text = re.sub(r"\\\n\s*", "", block.text)
    text = _LOOP.sub(
        lambda loop: "".join(
            re.sub(rf"\$\{{?{loop[1]}\}}?", word, loop[3]) for word in loop[2].split()
        ),
        text,
    )
    for line in text.splitlines():
        command = re.sub(r"(^|\s+)#.*$", "", line).strip()
        if command:
            yield command


def exchanges_of(block: Block) -> Iterator[tuple[str, str]]:
    """Yield each command of a block of a console, and what it is said to answer."""
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, answer = part.partition("\n")
        yield command, answer
