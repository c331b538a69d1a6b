"""The run of this process: `artfs.init` begins it, and it ends when the process does, if not before."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from artfs.tracking.artifact import Artifact
from artfs.tracking.conversion import config_values, json_values
from artfs.tracking.run import Run
from artfs.tracking.run_values import Words
from artfs.tracking.settings import defaults
from artfs.tracking.values import environment, logger
from artfs.tracking.workspaces import the_workspace
from artstore.arguments import texts
from artstore.errors import InvalidInputError, RefusedError

__all__ = ["config", "finish", "init", "log", "login", "open_run", "run"]

_MODES = ("online", "offline", "shared", "disabled", "run", "dryrun")
_run: Run | None = None
_failed = False
_hooked = False
_noticed = False


# Longer than other functions: the signature is that of wandb.init, and each parameter without effect is recorded.
def init(
    entity: str | None = None,
    project: str | None = None,
    dir: str | os.PathLike[str] | None = None,
    id: str | None = None,
    name: str | None = None,
    notes: str | None = None,
    tags: Sequence[str] | None = None,
    config: Mapping[str, Any] | object | None = None,
    config_exclude_keys: Sequence[str] | None = None,
    config_include_keys: Sequence[str] | None = None,
    allow_val_change: bool | None = None,
    group: str | None = None,
    job_type: str | None = None,
    mode: str | None = None,
    force: bool | None = None,
    reinit: bool | str | None = None,
    resume: bool | str | None = None,
    resume_from: str | None = None,
    fork_from: str | None = None,
    save_code: bool | None = None,
    tensorboard: bool | None = None,
    sync_tensorboard: bool | None = None,
    monitor_gym: bool | None = None,
    settings: object | None = None,
    anonymous: str | None = None,
) -> Run:
    """Finish the open run, if there is one, and begin another; return it.

    ``project``, ``group``, ``job_type``, ``name``, ``id``, ``notes``, ``tags`` and ``config`` mean what they mean in
    wandb, and ``resume`` continues the run with that ``id``.  The other parameters are recorded and have no effect;
    ``settings`` (a `Settings` or a mapping) gives defaults for those that do (``run_id``, ``run_group``, ``mode``...).
    ``project`` is by default ``$ARTFS_PROJECT`` or ``$WANDB_PROJECT``; without one, names of artifacts are used as they
    are.  ``mode`` is by default ``$ARTFS_MODE`` or ``$WANDB_MODE``: in the mode ``disabled`` runs and artifacts work,
    and nothing is recorded; the other modes are the same, for everything is kept on this machine.
    """
    global _run
    given, settings = defaults(settings)
    mode = mode or given.get("mode") or environment("MODE") or "online"
    project, entity, tags = project or given.get("project"), entity or given.get("entity"), tags or given.get("tags")
    id, name, notes = id or given.get("id"), name or given.get("name"), notes or given.get("notes")
    group, job_type = group or given.get("group"), job_type or given.get("job_type")
    resume = given.get("resume") if resume is None else resume
    if mode not in _MODES:
        raise InvalidInputError(f"the mode must be one of {', '.join(_MODES)}, not {mode!r}")
    finish()
    unused = {
        "entity": entity,
        "dir": None if dir is None else os.fspath(dir),
        "allow_val_change": allow_val_change,
        "mode": None if mode == "online" else mode,
        "force": force,
        "anonymous": anonymous,
        "reinit": reinit,
        "resume_from": resume_from,
        "fork_from": fork_from,
        "save_code": save_code,
        "tensorboard": tensorboard,
        "sync_tensorboard": sync_tensorboard,
        "monitor_gym": monitor_gym,
        "settings": str(settings) if settings else None,
    }
    recorded = {key: value for key, value in unused.items() if value is not None}
    _notice(sorted(recorded.keys() - {"entity", "reinit", "mode"}))
    if resume and id is None and resume not in ("auto", "allow", True):
        raise InvalidInputError("resume needs the id of a run", hint="pass id=")
    artifacts: list[object] = []
    selected = _selected(config, config_include_keys, config_exclude_keys)
    values = json_values(selected, "config", replace=partial(_noted, artifacts))
    workspace = the_workspace(disabled=mode == "disabled")
    record, lease = workspace.runs.start(
        project or environment("PROJECT") or "",
        id or environment("RUN_ID") or "",
        resume=bool(resume) and resume != "never",
        name=name or environment("NAME") or "",
        job_type=job_type or environment("JOB_TYPE") or "",
        group=group or environment("RUN_GROUP") or "",
        notes=notes or "",
        tags=texts(tags, "tags"),
        config=values,
        settings={**recorded, **({"resume": str(resume)} if resume else {})},
    )
    _run = Run(workspace, record, lease)
    _hook()
    if artifacts:
        _run.config.update(selected)  # the run uses them
    return _run


def _noted(artifacts: list[object], value: object) -> object:
    if isinstance(value, Artifact):
        artifacts.append(value)
    return value


def _selected(
    config: Mapping[str, Any] | object | None, include: Sequence[str] | None, exclude: Sequence[str] | None
) -> dict[str, Any]:
    """Return the values of a config that ``include`` names, all by default, without those that ``exclude`` names."""
    values = {str(key): value for key, value in config_values(config).items()}
    excluded = texts(exclude, "config_exclude_keys")
    included = values.keys() if include is None else texts(include, "config_include_keys")
    return {key: value for key, value in values.items() if key in included and key not in excluded}


def _notice(unused: Sequence[str]) -> None:
    global _noticed
    if unused and not _noticed:
        _noticed = True
        logger.warning("artfs: %s is recorded but has no effect", ", ".join(unused))


def _hook() -> None:
    """End the run when the process ends; as failed if an exception ends the process."""
    global _hooked
    if _hooked:
        return
    _hooked = True
    before = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        global _failed
        _failed = True
        before(kind, error, trace)

    sys.excepthook = excepthook
    atexit.register(_at_exit)


def _at_exit() -> None:
    finish(1 if _failed else 0)


def run() -> Run | None:
    """Return the open run of this process, or None."""
    return _run if _run is not None and _run.is_open else None


def open_run(what: str) -> Run:
    """Return the open run; raise `RefusedError`, which names what needs it, if there is none."""
    current = run()
    if current is None:
        raise RefusedError(f"there is no active run for {what}", hint="begin one: artfs.init()")
    return current


def config() -> Words:
    """Return the config of the open run; raise `RefusedError` if there is none."""
    return open_run("a config").config


def summary() -> Words:
    """Return the summary of the open run; raise `RefusedError` if there is none."""
    return open_run("a summary").summary


def log(data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
    """Log values for the open run, as `Run.log` does; raise `RefusedError` if there is none."""
    open_run("what is logged").log(data, step, commit)


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """Finish the open run, if there is one."""
    current = run()
    if current is not None:
        current.finish(exit_code)


def login(*_: object, **__: object) -> bool:
    """Return True: a local workspace needs no account."""
    return True
