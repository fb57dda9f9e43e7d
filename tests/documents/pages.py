"""
The pages, and what stands in them: fenced blocks, and the commands within those of a console.

Reads Markdown as far as our pages use it, and runs nothing. A console block has `$ ` (or `# ` for
root) before each command and its output below; whatever else is fenced says what it is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = tuple(
    sorted(
        {
            ROOT / "README.md",
            *ROOT.glob("docs/*.md"),
            *ROOT.glob("config/**/README.md"),
            *(ROOT / name / "README.md" for name in ("gateway", "providers", "bench", "grafana")),
        }
    )
)
"""Every page but the changelog, which tells of what was."""

_HERE_DOCUMENT = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it stands, what it is said to be, and its lines."""

    page: str
    line: int
    language: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


@dataclass(frozen=True, slots=True)
class Command:
    """A command as a reader would type it, and what the page shows below it."""

    page: str
    line: int
    text: str
    shown: tuple[str, ...]
    by_root: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def name_of(page: Path) -> str:
    """A page's path as links and tables have it."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page; those within lists without their indentation."""
    lines = page.read_text(encoding="utf-8").splitlines()
    opened: tuple[int, str, str] | None = None
    held: list[str] = []
    for number, line in enumerate(lines, 1):
        fence = re.match(r"( *)```(.*)$", line)
        if fence is None:
            if opened is not None:
                held.append(line.removeprefix(opened[1]))
        elif opened is None:
            opened = (number, fence[1], fence[2].strip())
        else:
            yield Block(name_of(page), opened[0], opened[2], tuple(held))
            opened, held = None, []
    assert opened is None, f"{name_of(page)}: the block of line {opened} has no end"


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a console block; quotes, a backslash and << carry one over several lines."""
    lines = list(enumerate(block.lines, block.line + 1))
    while lines:
        number, line = lines.pop(0)
        prompt, text = line[:2], line[2:]
        where = f"{block.page}:{number}"
        assert prompt in {"$ ", "# "}, f"{where}: output before any command: {line}"
        while lines and not _is_whole(text):
            text += "\n" + lines.pop(0)[1]
        assert _is_whole(text), f"{where}: the command has no end: {text}"
        shown: list[str] = []
        while lines and lines[0][1][:2] not in {"$ ", "# "}:
            shown.append(lines.pop(0)[1])
        printed = tuple(line for line in shown if line)
        yield Command(block.page, number, text, printed, by_root=prompt == "# ")


def _is_whole(text: str) -> bool:
    if here := _HERE_DOCUMENT.search(text):
        return text.endswith(f"\n{here[1]}")
    try:
        shlex.split(text, comments=True)
    except ValueError:  # an open quote, or \ at the end
        return False
    return True
