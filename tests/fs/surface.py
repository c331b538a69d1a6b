"""The public Python API, as tests walk it: classes and functions with their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import artfs
from artfs.tracking import active_run
from artfs.tracking.aliases import NameList
from artfs.tracking.entries import ArtifactEntry
from artstore.changes.committing import VersionOptions
from artstore.drafting.gathering import Gathering
from artstore.drafting.open_draft import OpenDraft
from artstore.drafting.reference_ops import ReferOptions
from artstore.namespaces.aliases import Aliases
from artstore.namespaces.drafts import Drafts
from artstore.namespaces.references import References
from artstore.namespaces.retention import Retention
from artstore.namespaces.runs import Runs
from artstore.namespaces.tags import Tags
from artstore.references.pinning import PinOptions

CLASSES: tuple[type, ...] = (
    artfs.Workspace,
    Aliases,
    Drafts,
    References,
    Retention,
    Runs,
    Tags,
    OpenDraft,
    Gathering,
    artfs.Version,
    artfs.Artifact,
    ArtifactEntry,
    NameList,
    artfs.Run,
    artfs.Api,
)
OPTIONS: tuple[type, ...] = (VersionOptions, ReferOptions, PinOptions)
"""Options by keyword, for which a call has one parameter."""

FUNCTIONS: tuple[Callable[..., Any], ...] = (
    artfs.init_workspace,
    artfs.open_workspace,
    active_run.init,
    active_run.log,
    active_run.finish,
)


def calls() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield (name, function) of every public call; a property that can be set is a call of its setter."""
    for function in FUNCTIONS:
        yield function.__name__, function
    for owner in CLASSES:
        for name in dir(owner):
            member = inspect.getattr_static(owner, name)
            if name.startswith("_") or (owner is NameList and name in dir(list)):
                continue
            if isinstance(member, property):
                if member.fset is not None:
                    yield f"{owner.__name__}.{name}=", member.fset
            elif inspect.isfunction(member):
                yield f"{owner.__name__}.{name}", member


def parameters(function: Callable[..., Any]) -> Iterator[tuple[str, str, inspect.Parameter]]:
    """Yield (name, annotation, parameter) of a call's parameters; for options by keyword, those of a version."""
    for parameter in list(inspect.signature(function).parameters.values()):
        annotation = str(parameter.annotation)
        options = next((kind for kind in OPTIONS if f"[{kind.__name__}]" in annotation), None)
        if options is not None:
            for name, hint in options.__annotations__.items():
                yield name, getattr(hint, "__forward_arg__", str(hint)), parameter
        elif parameter.name != "self":
            yield parameter.name, annotation, parameter
