"""The command line: which commands there are. What each of them takes and prints is in `client.commands`."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from client.commands import many, one, stacks
from client.conduct import BROKEN_PIPE, EXIT_CODES, UNWRITTEN
from client.terminal import discard_stdout

COMPLETION = """
Shell completion: client/tasks is the same as a command of one word, which shells can complete. Link it into a
folder of your PATH as tasks, then run: tasks --install-completion
"""

ACCESS = """
A token in the environment variable TASKS_TOKEN goes with every request to the API as Authorization: Bearer, over
https or to this machine only.
"""

COMMANDS = {
    "submit": one.submit_command,
    "get": one.get_command,
    "list": many.list_command,
    "watch": one.watch_command,
    "retry": many.retry_command,
    "cancel": many.cancel_command,
    "smoke": many.smoke_command,
    "load": many.load_command,
    "info": stacks.info_command,
    "logs": stacks.logs_command,
}

#: What the system says of a file that cannot take more.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _Commands(TyperGroup):
    """All commands. One whose output nobody reads any more ends with an exit code of its own, one whose output finds
    no room with a line that says so.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            return super().main(*args, **options)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            discard_stdout()
            typer.echo(f"Error: the output could not be written: {error.strerror}", err=True)
            sys.exit(UNWRITTEN)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            discard_stdout()
            raise typer.Exit(BROKEN_PIPE) from None


def application(*, completion: bool) -> typer.Typer:
    """All commands; `completion` adds the options that make a shell complete them."""
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    app = typer.Typer(
        cls=_Commands,
        context_settings={"color": False} if is_plain else {},  # else whether it is a terminal decides
        help="Submit tasks to a deployed stack and follow them; try, measure and look after the stack.",
        epilog="\n\n".join(text.strip() for text in (ACCESS, COMPLETION, EXIT_CODES)),
        no_args_is_help=True,
        add_completion=completion,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for name, command in COMMANDS.items():
        app.command(name, epilog=EXIT_CODES)(command)
    return app


app = application(completion=False)
