"""Fenced code blocks of Markdown documents, and their command lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.conftest import ROOT

PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "spike_zoo/methods/*/README.md")
DOCUMENTS = sorted(
    {path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in ROOT.glob(pattern)}
    | {"experiments/README.md"}
)
_BLOCK = re.compile(r"^(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$", re.S | re.M)
_LOOP = re.compile(r"^for (\w+) in ([^\n;]+); do\n(.*?)^done$", re.S | re.M)


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        document: Path of the document, relative to the root of the project.
        line: Line number of the opening fence.
        language: Language stated by the fence.
        text: Content of the block.
    """

    document: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Document and line, in the form FILE:LINE."""
        return f"{self.document}:{self.line}"


def blocks_of(document: str) -> list[Block]:
    """Return the fenced code blocks of a document in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [
        Block(document, text.count("\n", 0, match.start()) + 1, match["info"], match["text"])
        for match in _BLOCK.finditer(text)
    ]


def commands_of(block: Block) -> Iterator[str]:
    """Yield the command lines of a shell block: lines joined, loops expanded, no comments."""
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
    """Yield each command of a console block with its documented output."""
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, answer = part.partition("\n")
        yield command, answer
