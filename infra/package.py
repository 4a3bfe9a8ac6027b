"""functions/ and its pinned dependencies as one zip whose bytes depend on nothing but their content.

Two builds of the same sources give the same bytes on any machine, so that an unchanged program shows no
change in a preview. Dependencies are pure-Python wheels, named with version and hash in
functions/requirements.txt and by the task types that need them; boto3 is not among them, since the Lambda runtime
brings it.
"""

import hashlib
import io
import itertools
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pulumi

from infra import task_types

_SOURCES = "functions"
_REQUIREMENTS = "functions/requirements.txt"
_ARCHIVE = "build/functions.zip"
_WHEELS = "build/wheels"

#: What the Lambda runtime brings. A copy of our own would make the package several times its size, and with it
#: every cold start slower.
_IN_RUNTIME = frozenset({"boto3", "botocore", "jmespath", "s3transfer"})
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?P<hashes>(\s+--hash=sha256:[0-9a-f]{64})+)"
)
_NATIVE_SUFFIXES = (".so", ".pyd", ".dylib", ".dll")
#: The oldest time that a zip can hold.
_TIME = (1980, 1, 1, 0, 0, 0)
#: A regular file that Lambda's user can read, whatever the umask here.
_MODE = 0o100644 << 16
_UNIX = 3


@dataclass(frozen=True)
class _Pin:
    """A package, exactly, and the file that asks for it."""

    name: str
    version: str
    hashes: frozenset[str]
    source: str

    def __str__(self) -> str:
        hashes = "".join(f" --hash=sha256:{digest}" for digest in sorted(self.hashes))
        return f"{self.name}=={self.version}{hashes}"


@dataclass(frozen=True)
class _Wheel:
    filename: str
    content: bytes
    source: str


def build(root: Path) -> str:
    """Build the package of the project in ``root``.

    The wheels are downloaded with pip once and kept in ``build/``; afterwards no network is needed until
    requirements.txt or what a task type needs changes. The archive appears whole or not at all, also when two
    processes build it at once.

    Args:
        root: Folder of the project.

    Returns:
        Path of the zip relative to ``root``, because Pulumi keeps it in the stack's state.

    Raises:
        pulumi.RunError: The package cannot be built. The message names the file or package at fault.
    """
    try:
        wheels = _fetch(root, _pinned(root))
        _write(root / _ARCHIVE, _members(root / _SOURCES, wheels))
    except OSError as error:
        raise pulumi.RunError(f"{_ARCHIVE} cannot be built: {error}") from error
    return _ARCHIVE


def _pinned(root: Path) -> list[_Pin]:
    """Each package that requirements.txt or a task type asks for, once."""
    text = (root / _REQUIREMENTS).read_text(encoding="utf-8")
    without_comments = re.sub(r"(^|\s)#.*", "", text)
    lines = filter(None, map(str.strip, without_comments.replace("\\\n", " ").splitlines()))
    pins = [_pin(line, _REQUIREMENTS) for line in lines]
    for each in task_types.declared(root):
        pins += [_pin(line.strip(), each.source) for line in each.packages]
    pinned: dict[str, _Pin] = {}
    for pin in pins:
        first = pinned.setdefault(pin.name, pin)
        if (first.version, first.hashes) != (pin.version, pin.hashes):
            raise pulumi.RunError(
                f"{pin.source}: {pin.name}=={pin.version} is not allowed: {first.source} has another version or hash "
                f"of it, {first.name}=={first.version}"
            )
    return [*pinned.values()]


def _pin(line: str, source: str) -> _Pin:
    match = _REQUIREMENT.fullmatch(line)
    if not match:
        raise pulumi.RunError(
            f"{source}: {line!r} is not allowed: every line is name==version --hash=sha256:..."
        )
    name = re.sub(r"[-_.]+", "-", match["name"]).lower()
    if name in _IN_RUNTIME:
        raise pulumi.RunError(f"{source}: {name} is not allowed: the Lambda runtime brings it")
    hashes = frozenset(re.findall(r"sha256:([0-9a-f]{64})", match["hashes"]))
    return _Pin(name, match["version"], hashes, source)


def _fetch(root: Path, pinned: list[_Pin]) -> list[_Wheel]:
    """The wheel of each requirement, from the cache or else from pip."""
    cache = root / _WHEELS
    sources = ", ".join(dict.fromkeys(pin.source for pin in pinned))
    wheels = _cached(cache, pinned)
    if wheels is None:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="new-") as folder:
            requirements = Path(folder, "requirements.txt")
            requirements.write_text("".join(f"{pin}\n" for pin in pinned), encoding="utf-8")
            _download(requirements, Path(folder), sources)
            for path in Path(folder).glob("*.whl"):
                path.replace(cache / path.name)
        wheels = _cached(cache, pinned)
    if wheels is None:
        raise pulumi.RunError(f"{sources}: pip fetched other files than are named there")
    return wheels


def _cached(cache: Path, pinned: list[_Pin]) -> list[_Wheel] | None:
    """The wheel of each requirement, found by its hash; None if one is missing."""
    wheels: dict[str, tuple[str, bytes]] = {}
    for path in sorted(cache.glob("*.whl")):
        content = path.read_bytes()
        wheels[hashlib.sha256(content).hexdigest()] = path.name, content
    found: list[_Wheel] = []
    for pin in pinned:
        present = pin.hashes & wheels.keys()
        if not present:
            return None
        found.append(_Wheel(*wheels[min(present)], pin.source))
    return found


def _download(requirements: Path, folder: Path, sources: str) -> None:
    """Fetch exactly what the sources name, for the Lambda runtime rather than for the Python that runs this."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--require-hashes", "--only-binary=:all:"),
        *("--python-version=3.13", "--implementation=cp", "--abi=cp313", "--abi=abi3", "--abi=none"),
        *("--platform=manylinux2014_aarch64", "--platform=manylinux_2_28_aarch64", "--platform=any"),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        # Pip says only in its warnings that it never reached the index; what follows its first error explains that.
        unreachable = "\n  The package index cannot be reached." if "connection broken" in done.stderr else ""
        reason = done.stderr[max(done.stderr.find("ERROR:"), 0) :].strip()
        raise pulumi.RunError(f"{sources}: pip could not fetch the dependencies:{unreachable}\n  {reason}")


def _members(sources: Path, wheels: list[_Wheel]) -> dict[str, bytes]:
    """Every file of the package by its path in it."""
    members: dict[str, bytes] = {}
    vendored = (file for wheel in wheels for file in _wheel_files(wheel))
    for path, content in itertools.chain(_source_files(sources), vendored):
        if path in members:
            raise pulumi.RunError(f"{_SOURCES}: two files of the package want to be {path}")
        members[path] = content
    return members


def _source_files(sources: Path) -> Iterator[tuple[str, bytes]]:
    """What belongs to the functions: no caches, hidden files or copies that editors leave."""
    for path in sources.rglob("*"):
        name = path.relative_to(sources)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in name.parts)
        leftover = path.name.endswith(("~", ".pyc")) or name == Path("requirements.txt")
        if path.is_file() and not hidden and not leftover:
            yield name.as_posix(), path.read_bytes()


def _wheel_files(wheel: _Wheel) -> Iterator[tuple[str, bytes]]:
    """The files that a pure-Python wheel puts on the import path."""
    try:
        with zipfile.ZipFile(io.BytesIO(wheel.content)) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            described = next(name for name in names if re.fullmatch(r"[^/]+\.dist-info/WHEEL", name))
            purelib = Parser().parsestr(archive.read(described).decode())["Root-Is-Purelib"]
            native = any(PurePosixPath(name).suffix in _NATIVE_SUFFIXES for name in names)
            if not wheel.filename.endswith("-none-any.whl") or purelib != "true" or native:
                raise pulumi.RunError(
                    f"{wheel.source}: {wheel.filename.split('-')[0]} is not pure Python ({wheel.filename}); "
                    "the package takes nothing else"
                )
            for name in names:
                # A package's commands are in its .data/scripts: nothing imports them.
                if not re.match(r"[^/]+\.data/scripts/", name):
                    yield name, archive.read(name)
    except (zipfile.BadZipFile, StopIteration) as error:
        raise pulumi.RunError(f"{wheel.source}: {wheel.filename} is not a wheel") from error


def _write(archive: Path, members: dict[str, bytes]) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="new-") as folder:
        new = Path(folder, archive.name)
        # Stored, not deflated: zlib's output differs between its builds.
        with zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as package:
            for name in sorted(members):
                entry = zipfile.ZipInfo(name, _TIME)
                entry.external_attr = _MODE
                entry.create_system = _UNIX
                package.writestr(entry, members[name])
        new.replace(archive)
