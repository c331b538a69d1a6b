"""The options shared by all commands: the workspace, and JSON or text."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from artfs.cli import terminal
from artfs.cli.completion import complete_places
from artfs.cli.output import warn, write_line

if TYPE_CHECKING:
    from artstore.workspace import Workspace

__all__ = ["Group", "Helped", "Session", "json_option", "subcommand", "workspace_option"]

_REAP_SECONDS = 0.2
"""The time that a writing command spends at its end on freeing what earlier commands deleted."""


@dataclass
class Session:
    """The options that every command shares, and the hint printed if Ctrl-C ends the command."""

    workspace: str | None = None
    json: bool = False
    on_interrupt: str = ""
    writes: bool = False
    """Whether the command changes the workspace: a read-only one is refused when it is opened."""
    command: str = ""
    """The command that runs, such as ``artfs alias set``; empty until its words have been parsed."""
    is_process: bool = False
    """Whether the process runs only this command."""
    gave_up_root: bool = False
    """Whether root runs the command, and the process has become the owner of the workspace."""
    _opened: Workspace | None = field(default=None, repr=False)

    def open(self) -> Workspace:
        """Open the selected workspace; raises WorkspaceNotFoundError if there is none."""
        from artstore.workspace import open_workspace

        self._opened = open_workspace(self.workspace)
        if self.writes:
            from artstore.storage import disk

            disk.require_writable(self._opened.path)
        return self._opened

    def reap_due(self) -> None:
        """Free, for a short time, the deleted data that is due in the workspace that the command opened.

        This frees space without a daemon.  The command's own work is complete: a failure here is printed on stderr and
        does not change the exit code.
        """
        if self._opened is None:
            return
        from artstore.daemons import live_daemons
        from artstore.errors import ArtfsError, BusyError
        from artstore.reclaim.backlog import is_idle

        self.on_interrupt = "the command itself was complete"
        try:
            if not is_idle(self._opened.store) and not live_daemons(self._opened.store.run_dir):
                self._opened.reap_due(_REAP_SECONDS)
        except BusyError:
            pass  # another process is reaping
        except (ArtfsError, OSError) as error:
            hint = getattr(error, "hint", "") or "run 'artfs fsck' for details"
            warn(f"the command succeeded, but the space of deleted data cannot be freed: {error}; {hint}")


def workspace_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-w/--workspace`` to a command, stored in the session."""

    def remember(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.ensure_object(Session).workspace = value

    return click.option(
        "-w",
        "--workspace",
        type=click.Path(readable=False),
        metavar="DIR",
        expose_value=False,
        callback=remember,
        help="The workspace [default: $ARTFS_WORKSPACE, else the one set with 'artfs init DIR --default', "
        "else ~/.local/share/artfs].",
    )(function)


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json`` to a command, stored in the session."""

    def remember(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        context.ensure_object(Session).json |= value

    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=remember,
        help="Print the result as one JSON document on stdout.",
    )(function)


_MAY_BE_EMPTY = frozenset({"description", "text"})


class Helped(click.Command):
    """A command or group whose help is written like all other output, so that a full disk is reported."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option ``--help``."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _print_help
        return option


def _print_help(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        write_line(context.get_help())
        context.exit()


class Group(Helped, click.Group):
    """A group of commands."""


class _Command(Helped):
    """A command that refuses an empty word, which in a script is a variable that was never set."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words; raise UsageError if one is empty and is not a description."""
        rest = super().parse_args(ctx, args)
        for parameter in self.params:
            value = ctx.params.get(parameter.name or "")
            is_empty = value == "" or (isinstance(value, tuple) and "" in value)
            if is_empty and parameter.name not in _MAY_BE_EMPTY and _was_given(ctx, parameter):
                is_option = isinstance(parameter, click.Option)
                shown = parameter.opts[0] if is_option else parameter.make_metavar(ctx).strip("[]")
                raise click.UsageError(f"the value of {shown} is empty", ctx)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a failure can then name it."""
        ctx.ensure_object(Session).command = ctx.command_path
        return super().invoke(ctx)


def _was_given(context: click.Context, parameter: click.Parameter) -> bool:
    return context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE


def subcommand(
    name: str,
    *,
    group: click.Group | None = None,
    as_json: bool = True,
    writes: bool = False,
    paged: bool = False,
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make the decorated function a command that gets the session first and takes ``-w`` and ``--json``.

    ``group`` is the group that it belongs to, if not the top one; ``as_json`` is False for a command whose output is
    not a report; a command that ``writes`` reaps briefly at its end, unless it was a dry run; text that may be long is
    ``paged`` on a terminal.  The function's docstring is the command's help.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        complete = _with_rights(_then_reap(function) if writes else _in_pager(function) if paged else function)
        shared = workspace_option(json_option(complete) if as_json else complete)
        command = click.command(name, cls=_Command)(click.make_pass_decorator(Session, ensure=True)(shared))
        complete_places(command)
        if group is not None:
            group.add_command(command)
        return command

    return decorate


def _with_rights(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let root's process take the rights for the command before it begins."""

    @wraps(function)
    def run(session: Session, *arguments: Any, **options: Any) -> Any:
        directory = options.get("directory")
        if session.is_process and os.geteuid() == 0 and (directory is not None or _is_of_another(session.workspace)):
            from artfs.cli.rights import settle

            command = click.get_current_context().command_path.partition(" ")[2]
            settle(session, command, directory)
        return function(session, *arguments, **options)

    return run


def _is_of_another(workspace: str | None) -> bool:
    """Return whether the selected workspace belongs to another user than root."""
    from artstore.errors import ArtfsError
    from artstore.locate import find_workspace

    try:
        return os.stat(find_workspace(workspace)).st_uid != 0
    except (ArtfsError, OSError):
        return False


def _in_pager(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run(session: Session, *arguments: Any, **options: Any) -> Any:
        if session.json or not terminal.is_terminal():
            return function(session, *arguments, **options)
        with terminal.paging():
            return function(session, *arguments, **options)

    return run


def _then_reap(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run(session: Session, *arguments: Any, **options: Any) -> Any:
        session.writes = not options.get("dry_run")
        outcome = function(session, *arguments, **options)
        if session.writes:
            session.reap_due()
        return outcome

    return run
