"""What the documents show: their commands with the outputs, and their files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = "README.md"
DOCUMENTS = (README, *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))

#: How a line of a code block begins that a person is to type, where no `$` says so.
PROGRAMS = (
    *(
        "make",
        "pulumi",
        "aws",
        "curl",
        "git",
        "cd",
        "python",
        "python3",
        "pip",
        "pipx",
        "uv",
        "npm",
        "npx",
        "docker",
    ),
    *(
        "sleep",
        "export",
        ".",
        "source",
        "sudo",
        "apt-get",
        "brew",
        "bash",
        "sh",
        "jq",
        "ln",
        "cp",
        "mv",
        "rm",
        "mkdir",
    ),
    *("pytest", "ruff", "cat", "echo", "touch", "wget", "openssl", "sam", "cdk", "terraform", "kubectl"),
)
_SHELLS = ("sh", "bash", "console", "shell")
_TYPED = re.compile(rf"(?:{'|'.join(map(re.escape, PROGRAMS))})\s|\.venv/bin/|[A-Z_]+=\S")
_FILE = re.compile(r"# (?P<path>[\w./-]+\.\w+)")


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        document: path of the document below the repository.
        line: number of its first line there.
        heading: the headline above it; empty before the first.
        language: what its fence says; empty if it is indented.
        lines: its text.
    """

    document: str
    line: int
    heading: str
    language: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A command line.

    Attributes:
        block: where it stands.
        line: number of its line in the document.
        text: what a person types.
        output: what the document shows below it; empty if nothing.
    """

    block: Block
    line: int
    text: str
    output: str

    def __str__(self) -> str:
        return f"{self.block.document}:{self.line}: {self.text}"


@dataclass(frozen=True)
class File:
    """A file whose path stands as a comment above its content."""

    block: Block
    path: str
    content: str

    def __str__(self) -> str:
        return f"{self.block.document}:{self.block.line}: {self.path}"


def text_of(document: str) -> str:
    """A whole document."""
    return (ROOT / document).read_text()


def blocks(document: str) -> list[Block]:
    """The code blocks of a document, fenced or indented by four."""
    return list(_blocks(document, text_of(document).splitlines()))


def commands(document: str) -> list[Command]:
    """The commands of a document, in its order."""
    return [command for block in blocks(document) for command in commands_of(block)]


def all_commands() -> list[Command]:
    """The commands of all documents."""
    return [command for document in DOCUMENTS for command in commands(document)]


def files() -> list[File]:
    """The files that the documents show, whole or in part."""
    return [
        File(block, found["path"], "\n".join(block.lines[1:]) + "\n")
        for document in DOCUMENTS
        for block in blocks(document)
        if block.lines and (found := _FILE.fullmatch(block.lines[0]))
    ]


def section(block: Block) -> str:
    """The text between the headline above a block and the next one."""
    text = text_of(block.document)
    start = text.find(block.heading) if block.heading else 0
    end = re.search(r"^#+ ", text[start + len(block.heading) :], re.MULTILINE)
    return text[start : start + len(block.heading) + end.start()] if end else text[start:]


def commands_of(block: Block) -> Iterator[Command]:
    """Lines behind a `$`, with the lines below them as output; without any, those that begin like a command."""
    has_prompts = any(line.startswith("$ ") for line in block.lines)
    lines = list(enumerate(block.lines))
    while lines:
        number, line = lines.pop(0)
        if not (line.startswith("$ ") if has_prompts else _is_typed(line.strip(), block.language)):
            continue
        text = line.removeprefix("$ ").strip()
        while text.endswith("\\") and lines:
            text = f"{text[:-1].rstrip()} {lines.pop(0)[1].strip()}"
        output: list[str] = []
        while has_prompts and lines and not lines[0][1].startswith("$ "):
            output.append(lines.pop(0)[1])
        yield Command(block, block.line + number, _without_remark(text), "\n".join(output).strip("\n"))


def _is_typed(line: str, language: str) -> bool:
    return bool(_TYPED.match(line)) or (language in _SHELLS and bool(line) and not line.startswith("#"))


def _without_remark(text: str) -> str:
    return re.sub(r"\s{2,}# .*$", "", text)


def _blocks(document: str, lines: list[str]) -> Iterator[Block]:
    heading, number = "", 0
    while number < len(lines):
        line = lines[number]
        before = lines[number - 1] if number else ""
        if line.startswith("```"):
            end = lines.index("```", number + 1)
            yield Block(document, number + 2, heading, line[3:], tuple(lines[number + 1 : end]))
            number = end
        elif line.startswith("    ") and not before.strip():
            end = number
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            text = "\n".join(each[4:] for each in lines[number:end]).rstrip()
            yield Block(document, number + 1, heading, "", tuple(text.split("\n")))
            number = end - 1
        elif re.match(r"#+ ", line):
            heading = line
        number += 1
