"""The entry point: parses the command line, runs the command, and returns the exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Final, NoReturn, cast

import click

from artfs import __version__
from artfs.cli import failures, terminal
from artfs.cli.exit_codes import ExitCode
from artfs.cli.output import flush, write_line
from artfs.cli.session import Group, Session, workspace_option
from artstore.interrupts import deliver_at_once

__all__ = ["cli", "main", "run"]

_COMPLETE: Final = "_ARTFS_COMPLETE"
"""The variable by which the scripts of `artfs completion` ask for candidates."""
_COLLECT_AFTER: Final = 100_000
"""The threshold of Python's cycle collector: at the default of 700, it takes a twentieth of the time of a command."""

_MODULES: Final = {
    "init": "putting",
    "put": "putting",
    "restore": "putting",
    "draft": "drafts",
    "ref": "references",
    "path": "mounts",
    "ls": "browse",
    "find": "finding",
    "show": "versions",
    "log": "versions",
    "diff": "versions",
    "cat": "browse",
    "get": "browse",
    "warm": "browse",
    "cache": "caching",
    "mount": "mounts",
    "umount": "mounts",
    "status": "mounts",
    "ui": "ui",
    "alias": "aliases",
    "tag": "aliases",
    "describe": "revisions",
    "meta": "revisions",
    "artifact": "artifacts",
    "link": "lineage",
    "lineage": "lineage",
    "run": "lineage",
    "registry": "registry",
    "library": "library",
    "remote": "remote",
    "push": "exchange",
    "fetch": "exchange",
    "pull": "exchange",
    "clone": "exchange",
    "rm": "deletion",
    "undelete": "deletion",
    "gc": "deletion",
    "retention": "retention",
    "usage": "usage",
    "du": "usage",
    "metrics": "monitoring",
    "why": "checking",
    "fsck": "checking",
    "purge": "checking",
    "config": "config",
    "doctor": "doctor",
    "completion": "shells",
    "demo": "demo",
}
"""The module of each command, in the order of the help."""


class _Commands(Mapping[str, click.Command]):
    """The commands by name; a module is imported when one of its commands is first used."""

    def __getitem__(self, name: str) -> click.Command:
        command = getattr(import_module(f"artfs.cli.{_MODULES[name]}"), name)
        assert isinstance(command, click.Command)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


class _InOrder(Group):
    """A group whose help lists the commands in the order of `_MODULES`, not alphabetically."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they were added."""
        return list(self.commands)


def _print_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    write_line(f"artfs {__version__}")
    context.exit()


@click.group(
    cls=_InOrder,
    commands=cast("MutableMapping[str, click.Command]", _Commands()),  # click only reads it
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version of artfs and exit.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    expose_value=False,
    callback=lambda _context, _option, when: terminal.choose_colours(when),
    help="When to use colours [default: on a terminal, unless NO_COLOR is set].",
)
@workspace_option
def cli() -> None:
    """Keep every version of every artifact as a folder, with each byte stored once.

    \b
      artfs put ./data imagenet       ./data becomes imagenet:v0, next time v1
      artfs mount ~/artifacts         ~/artifacts/imagenet/v0, v1, latest, ...
      artfs path imagenet             the folder of the latest version

    A version is NAME (the latest), NAME:v3 or NAME:ALIAS; a file in it is NAME:v3/path. A path under a mount can be
    used as well. 'artfs COMMAND --help' explains a command and gives an example.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused, 5 damage, 6 disk full.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with the arguments (``sys.argv`` by default) and return the exit code.

    Any failure prints one sentence on stderr, and with ``--json`` the document ``{"error": ...}`` on stdout, without a
    traceback.  Nothing is printed if the reader of stdout has closed it.
    """
    _keep_standard_descriptors()
    given = list(sys.argv[1:] if arguments is None else arguments)
    _make_streams_lenient()
    as_json = "--json" in given[: given.index("--") if "--" in given else None]
    session = Session(json=as_json, is_process=arguments is None)
    try:
        code = _run(given, session)
        flush()
        return code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, BrokenPipeError) and failures.stdout_is_broken():
            _discard_stdout()
            return ExitCode.CLOSED_PIPE
        return _fail(error, session)


def run() -> NoReturn:
    """Run the command and exit without the interpreter's teardown, which takes a sixth of the time of a short call.

    All output has been flushed when `main` returns, and the kernel closes the open files.
    """
    gc.set_threshold(_COLLECT_AFTER)
    deliver_at_once()
    code = main()
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    os._exit(code)


def _run(arguments: list[str], session: Session) -> int:
    instruction = os.environ.get(_COMPLETE)
    if instruction:
        from artfs.cli.shells import answer

        return answer(cli, session, instruction, arguments)
    try:
        with cli.make_context("artfs", arguments, obj=session) as context:
            outcome = cli.invoke(context)
    except click.exceptions.Exit as request:
        return request.exit_code
    return outcome if isinstance(outcome, int) else 0


def _fail(error: BaseException, session: Session) -> int:
    try:
        code = failures.report(error, as_json=session.json, on_interrupt=session.on_interrupt, command=session.command)
        flush()
        return code
    except OSError:
        # stdout cannot be written (closed, full): the failure is already on stderr.
        _discard_stdout()
        return failures.explain(error).exit_code


def _keep_standard_descriptors() -> None:
    """Open /dev/null in place of closed standard streams, so that no file of the store gets descriptor 0, 1 or 2."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one


def _make_streams_lenient() -> None:
    """Make stdout and stderr escape characters that the locale lacks."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _discard_stdout() -> None:
    """Discard what is still buffered, so that the interpreter reports no error at exit."""
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)
    except (OSError, ValueError, AttributeError):
        sys.stdout = None
