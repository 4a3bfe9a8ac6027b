"""The package: the same bytes everywhere, nothing in it that should not be, and everything that the functions need."""

import errno
import hashlib
import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pulumi
import pytest

from infra import package
from tests.infra.stacks import ROOT, evaluate

pytestmark = pytest.mark.xdist_group("infra")

BUILD = "import sys; from pathlib import Path; from infra import package; package.build(Path(sys.argv[1]))"
IMPORT = """
import sys
sys.path[:0] = sys.argv[1:3]
module, name = sys.argv[3].split(".")
assert callable(getattr(__import__(module), name))
"""


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def built(root: Path) -> Path:
    return root / package.build(root)


@pytest.fixture(scope="session")
def archive() -> Path:
    """The package of this repository; the first build fetches its wheels."""
    return built(ROOT)


def copy_of_project(target: Path) -> Path:
    """The files that the package is made from, and the wheels, somewhere else."""
    shutil.copytree(ROOT / "functions", target / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    fetched(target).mkdir(parents=True)
    for wheel in fetched(ROOT).glob("*.whl"):
        shutil.copy(wheel, fetched(target))
    return target


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one function and no dependency."""
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "requirements.txt").write_text("# nothing\n")
    (tmp_path / "functions" / "hello.py").write_text("def handler(event, context): ...\n")
    return tmp_path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of wheels, the only place where pip looks."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def require(
    project: Path, place: Path, files: dict[str, str], *, tag: str = "py3-none-any", purelib: bool = True
) -> Path:
    """Make a wheel of the package ``quick`` in a place, and the project's only dependency."""
    place.mkdir(parents=True, exist_ok=True)
    wheel = place / f"quick-1.0-{tag}.whl"
    info = "quick-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: quick\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: {str(purelib).lower()}\nTag: {tag}\n"
        )
        file.writestr(f"{info}/RECORD", "")
    (project / "functions" / "requirements.txt").write_text(
        f"quick==1.0 \\\n    --hash=sha256:{sha256(wheel)}  # fast\n"
    )
    return wheel


def fetched(project: Path) -> Path:
    """Where a project keeps the wheels that pip fetched for it."""
    return project / "build" / "wheels"


# The same bytes everywhere


def test_two_users_in_two_folders_build_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    before = sha256(archive)
    root = copy_of_project(tmp_path / "some where else")
    for number, path in enumerate(sorted((root / "functions").rglob("*"))):
        os.utime(path, (10**9 + number, 10**9 + number))
        path.chmod(stat.S_IRWXU if path.is_dir() or number % 2 else stat.S_IRUSR)
    someone_else = {
        "HOME": str(tmp_path),
        "USER": "someone",
        "LOGNAME": "someone",
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "7",
        "SOURCE_DATE_EPOCH": "1700000000",
    }
    subprocess.run(
        [sys.executable, "-c", BUILD, str(root)],
        env={**os.environ, **someone_else, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        umask=0o077,
        check=True,
    )
    assert sha256(root / "build" / "functions.zip") == before


def test_an_unchanged_program_gives_an_unchanged_package_without_network(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_pip(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be fetched")

    before = sha256(archive)
    monkeypatch.setattr(subprocess, "run", no_pip)
    assert sha256(built(ROOT)) == before


def test_a_changed_file_changes_the_package(project: Path) -> None:
    before = sha256(built(project))
    (project / "functions" / "hello.py").write_text("def handler(event, context): return 1\n")
    assert sha256(built(project)) != before


def test_entries_are_stored_sorted_and_without_time_or_mode_of_the_machine(archive: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        entries = file.infolist()
    names = [entry.filename for entry in entries]
    assert names == sorted(set(names))
    for entry in entries:
        assert entry.compress_type == zipfile.ZIP_STORED
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert entry.external_attr >> 16 == stat.S_IFREG | 0o644
        assert (entry.extra, entry.comment, entry.create_system) == (b"", b"", 3)


def test_only_what_belongs_to_the_functions_is_packed(project: Path) -> None:
    functions = project / "functions"
    (functions / "pages").mkdir()
    (functions / "pages" / "index.html").write_text("<!doctype html>")
    for leftover in (
        "__pycache__/hello.cpython-313.pyc",
        ".hello.py.swp",
        "hello.py~",
        "old.pyc",
        ".cache/x.py",
    ):
        path = functions / leftover
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    with zipfile.ZipFile(built(project)) as file:
        assert file.namelist() == ["hello.py", "pages/index.html"]


# Building is safe


def test_processes_that_build_at_once_give_one_whole_package(project: Path, index: Path) -> None:
    require(project, index, {"quick.py": "x = 1\n" * 10_000})
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    builders = [
        subprocess.Popen([sys.executable, "-c", BUILD, str(project)], env=environment) for _ in range(2)
    ]
    assert [builder.wait(timeout=60) for builder in builders] == [0, 0]
    with zipfile.ZipFile(project / "build" / "functions.zip") as file:
        assert file.testzip() is None
        assert "quick.py" in file.namelist()
    assert sorted(path.name for path in (project / "build").iterdir()) == ["functions.zip", "wheels"]
    assert [path.name for path in (project / "build" / "wheels").iterdir()] == ["quick-1.0-py3-none-any.whl"]


def test_a_damaged_wheel_is_fetched_again(project: Path, index: Path) -> None:
    wheel = require(project, index, {"quick.py": "x = 1\n"})
    fetched(project).mkdir(parents=True)
    (fetched(project) / wheel.name).write_bytes(wheel.read_bytes()[:-1])
    with zipfile.ZipFile(built(project)) as file:
        assert "quick.py" in file.namelist()
    assert sha256(fetched(project) / wheel.name) == sha256(wheel)


def test_a_build_that_fails_leaves_the_last_package(project: Path) -> None:
    before = sha256(built(project))
    (project / "functions" / "requirements.txt").write_text("quick\n")
    with pytest.raises(pulumi.RunError):
        package.build(project)
    assert sha256(project / "build" / "functions.zip") == before


def test_a_full_disk_is_one_clear_line_and_leaves_the_last_package(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = sha256(built(project))
    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(pulumi.RunError) as raised:
        package.build(project)
    assert str(raised.value) == "build/functions.zip cannot be built: [Errno 28] No space left on device"
    assert sha256(project / "build" / "functions.zip") == before
    assert [path.name for path in (project / "build").iterdir()] == ["functions.zip"]


def test_who_reads_the_last_package_meanwhile_reads_it_whole(project: Path) -> None:
    archive = built(project)
    before = archive.read_bytes()
    with archive.open("rb") as reader:
        (project / "functions" / "hello.py").write_text("def handler(event, context): return 1\n")
        package.build(project)
        assert reader.read() == before
    assert archive.read_bytes() != before


def test_a_folder_that_cannot_be_written_is_one_clear_line(project: Path) -> None:
    (project / "build").write_text("a file is in the way")
    with pytest.raises(pulumi.RunError, match=r"^build/functions\.zip cannot be built: .*"):
        package.build(project)


# What is refused


NOT_PURE = "functions/requirements.txt: quick is not pure Python ({}); the package takes nothing else"


def test_a_wheel_for_one_platform_is_refused_by_name(project: Path, index: Path) -> None:
    wheel = require(project, index, {"quick.py": ""}, tag="cp313-cp313-manylinux2014_aarch64", purelib=False)
    with pytest.raises(pulumi.RunError) as raised:
        package.build(project)
    assert str(raised.value) == NOT_PURE.format(wheel.name)


@pytest.mark.parametrize(
    ("files", "purelib"),
    [({"quick/__init__.py": "", "quick/speedups.so": ""}, True), ({"quick.py": ""}, False)],
    ids=["native code inside", "says that it is not pure"],
)
def test_a_wheel_that_only_looks_pure_is_refused_by_name(
    project: Path, files: dict[str, str], purelib: bool
) -> None:
    wheel = require(project, fetched(project), files, purelib=purelib)
    with pytest.raises(pulumi.RunError) as raised:
        package.build(project)
    assert str(raised.value) == NOT_PURE.format(wheel.name)


def test_a_package_without_a_wheel_is_refused_by_name(project: Path, index: Path) -> None:
    (project / "functions" / "requirements.txt").write_text(f"quick==1.0 --hash=sha256:{'0' * 64}\n")
    (index / "quick-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(
        pulumi.RunError, match=r"pip could not fetch the dependencies:\n  ERROR: .*quick==1\.0"
    ):
        package.build(project)


def test_an_index_that_cannot_be_reached_is_said_so(
    project: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(project, index, {"quick.py": ""})
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.delenv("PIP_NO_INDEX")
    # A name that resolves nowhere, by RFC 6761.
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:hunter2@index.invalid/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(pulumi.RunError, match=r"The package index cannot be reached\.\n  ERROR: ") as raised:
        package.build(project)
    assert "hunter2" not in str(raised.value)


def test_a_wheel_with_another_hash_is_refused_by_name(project: Path, index: Path) -> None:
    require(project, index, {"quick.py": ""})
    requirements = project / "functions" / "requirements.txt"
    requirements.write_text(re.sub("sha256:.*", f"sha256:{'0' * 64}", requirements.read_text()))
    with pytest.raises(pulumi.RunError, match=r"pip could not fetch the dependencies:\n(.|\n)*quick==1\.0"):
        package.build(project)


@pytest.mark.parametrize(
    "line",
    [
        "quick",
        "quick==1.0",
        "quick>=1.0 --hash=sha256:" + "0" * 64,
        "-r other.txt",
        "quick @ https://a.example/q.whl",
    ],
)
def test_a_requirement_without_exact_version_and_hash_is_refused(project: Path, line: str) -> None:
    (project / "functions" / "requirements.txt").write_text(line + "\n")
    with pytest.raises(pulumi.RunError) as raised:
        package.build(project)
    assert repr(line) in str(raised.value)


@pytest.mark.parametrize("name", ["boto3", "Botocore", "s3transfer"])
def test_what_the_runtime_brings_is_refused(project: Path, name: str) -> None:
    (project / "functions" / "requirements.txt").write_text(f"{name}==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(pulumi.RunError, match=f"{name.lower()} is not allowed: the Lambda runtime brings it"):
        package.build(project)


def declare(project: Path, *packages: str, name: str = "cats") -> None:
    """A task type that needs these packages."""
    folder = project / "functions" / "task_types"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(
        f'@task_type("{name}", packages={packages!r})\ndef work(data, attempt): ...\n'
    )


def required(project: Path) -> str:
    """The only requirement of a project, on one line, which it is no more."""
    requirements = project / "functions" / "requirements.txt"
    text = requirements.read_text()
    requirements.write_text("")
    return " ".join(text.partition("#")[0].replace("\\\n", " ").split())


def test_a_package_of_a_type_that_cannot_be_had_is_blamed_on_its_file(project: Path, index: Path) -> None:
    declare(project, f"quick==1.0 --hash=sha256:{'0' * 64}")
    with pytest.raises(pulumi.RunError, match=r"^functions/task_types/cats\.py: pip could not fetch"):
        package.build(project)


def test_packages_of_task_types_are_packed_once(project: Path, index: Path) -> None:
    require(project, index, {"quick.py": "x = 1\n"})
    line = required(project)
    declare(project, line)
    declare(project, line.replace("quick", "Quick"), name="dogs")
    with zipfile.ZipFile(built(project)) as file:
        assert "quick.py" in file.namelist()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("quick", "'quick' is not allowed: every line is name==version --hash=sha256:..."),
        (f"Boto3==1.0 --hash=sha256:{'0' * 64}", "boto3 is not allowed: the Lambda runtime brings it"),
        (
            f"quick==2.0 --hash=sha256:{'0' * 64}",
            "quick==2.0 is not allowed: functions/requirements.txt has another version or hash of it, quick==1.0",
        ),
    ],
)
def test_packages_of_task_types_are_checked_alike(project: Path, line: str, problem: str) -> None:
    require(project, fetched(project), {"quick.py": ""})
    declare(project, line)
    with pytest.raises(pulumi.RunError) as raised:
        package.build(project)
    assert str(raised.value) == f"functions/task_types/cats.py: {problem}"


def test_a_package_of_a_task_type_that_is_not_pure_is_refused_by_name(project: Path, index: Path) -> None:
    wheel = require(project, fetched(project), {"quick.py": "", "quick.so": ""})
    declare(project, required(project))
    with pytest.raises(pulumi.RunError) as raised:
        package.build(project)
    assert str(raised.value) == NOT_PURE.format(wheel.name).replace("requirements.txt", "task_types/cats.py")


def test_two_files_with_one_name_are_refused(project: Path) -> None:
    require(project, fetched(project), {"hello.py": ""})
    with pytest.raises(pulumi.RunError, match=r"two files of the package want to be hello\.py"):
        package.build(project)


# Everything that the functions need is in it


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the Lambda runtime brings: boto3 with its own dependencies."""
    folder = tmp_path_factory.mktemp("runtime")
    for distribution in _with_dependencies("boto3", set()):
        files = importlib.metadata.files(distribution) or []
        for top in {file.parts[0] for file in files if not file.parts[0].startswith("..")}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(importlib.metadata.distribution(distribution).locate_file(top))))
    return folder


def _with_dependencies(name: str, seen: set[str]) -> Iterator[str]:
    if name not in seen:
        seen.add(name)
        yield name
        for requirement in importlib.metadata.requires(name) or []:
            if "extra ==" not in requirement:
                yield from _with_dependencies(re.split(r"[^\w.-]", requirement)[0], seen)


def _import(
    handler: str, code: Path, runtime: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Import a handler as Lambda does, in a Python that sees no other packages and no environment of ours."""
    lambda_environment = {
        "AWS_REGION": "eu-north-1",
        "AWS_DEFAULT_REGION": "eu-north-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_LAMBDA_FUNCTION_NAME": "test",
    }
    return subprocess.run(
        [sys.executable, "-S", "-I", "-c", IMPORT, str(code), str(runtime), handler],
        env={**lambda_environment, **environment},
        cwd=code,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    return folder


@pytest.mark.parametrize(
    ("stack", "function"),
    [
        ("dev", "submit-tasks"),
        ("dev", "read-tasks"),
        ("dev", "process-tasks"),
        ("dev", "retry-tasks"),
        ("dev", "sweep-tasks"),
        ("dev", "monitor-dlq"),
        ("local", "monitor-dlq"),
    ],
)
def test_handler_runs_on_the_package_and_boto3_alone(
    unpacked: Path, runtime: Path, stack: str, function: str
) -> None:
    declared = evaluate(stack).inputs("lambda/function:Function", function)
    done = _import(declared["handler"], unpacked, runtime, declared["environment"]["variables"])
    assert done.returncode == 0, done.stderr


def test_what_is_not_in_the_package_is_not_found(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("import boto3, httpx\ndef handler(event, context): ...\n")
    done = _import("hello.handler", tmp_path, runtime, {})
    assert "No module named 'httpx'" in done.stderr
