"""What one invocation of the command was asked on its options: the workspace, and JSON or text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from artstore.workspace import Workspace

__all__ = ["Session", "json_option", "subcommand", "workspace_option"]


@dataclass
class Session:
    """The options that every command shares, and what to tell the person if Ctrl-C ends it."""

    workspace: str | None = None
    json: bool = False
    on_interrupt: str = ""

    def open(self) -> Workspace:
        """Open the workspace that was meant; raises WorkspaceNotFoundError where there is none."""
        from artstore.workspace import open_workspace

        return open_workspace(self.workspace)


def workspace_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-w/--workspace`` to a command, stored in the session."""

    def remember(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.ensure_object(Session).workspace = value

    return click.option(
        "-w",
        "--workspace",
        type=click.Path(),
        metavar="DIR",
        expose_value=False,
        callback=remember,
        help="The workspace [default: $ARTFS_WORKSPACE, else the one made with 'artfs init DIR --default', "
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
        help="Print one JSON document on stdout, and nothing else there.",
    )(function)


def subcommand(
    name: str, *, group: click.Group | None = None, as_json: bool = True
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make the decorated function a command that gets the session first and takes ``-w`` and ``--json``.

    ``group`` is the group that it belongs to, if not the top one; ``as_json`` is False for a command whose output is
    not a report.  The function's docstring is the command's help.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        shared = workspace_option(json_option(function) if as_json else function)
        command = click.command(name)(click.make_pass_decorator(Session, ensure=True)(shared))
        if group is not None:
            group.add_command(command)
        return command

    return decorate
