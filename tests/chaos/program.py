"""A scratch copy of the Pulumi program whose only task type is the chaotic one."""

import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

#: What the program consists of, and the wheels that it has downloaded before.
_PARTS = ("__main__.py", "Pulumi.yaml", "Pulumi.local.yaml", "infra", "functions", "build/wheels")


def copy_program(directory: Path) -> Path:
    """Copy the program into a directory and return its place.

    The project's own task types stay out: their time limits would forbid the short time-outs that a run may want.
    """
    program = directory / "program"
    for part in _PARTS:
        source, target = REPOSITORY / part, program / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    task_types = program / "functions" / "task_types"
    for path in task_types.glob("*.py"):
        if path.name != "__init__.py":
            path.unlink()
    shutil.copyfile(Path(__file__).with_name("chaotic_task.py"), task_types / "chaos.py")
    return program
