"""Functions of the module ``artfs`` that mean the open run, with the names and parameters of wandb's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import Any, Final

from artfs.tracking.active_run import finish, open_run
from artfs.tracking.notices import ignore
from artfs.tracking.run import Run
from artfs.tracking.values import logger

__all__ = [
    "AlertLevel",
    "alert",
    "define_metric",
    "join",
    "link_artifact",
    "link_model",
    "log_artifact",
    "log_code",
    "log_model",
    "mark_preempting",
    "pin_config_keys",
    "require",
    "restore",
    "save",
    "setup",
    "teardown",
    "termerror",
    "termlog",
    "termwarn",
    "unwatch",
    "use_artifact",
    "use_model",
    "watch",
]


class AlertLevel(Enum):
    """How important an alert is."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


def _of_the_run(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls a method of the open run, and raises `RefusedError` if there is none."""

    @wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        return method(open_run(method.__name__), *arguments, **options)

    signature = inspect.signature(method)
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=list(signature.parameters.values())[1:]
    )
    return call


alert: Final = _of_the_run(Run.alert)
define_metric: Final = _of_the_run(Run.define_metric)
link_artifact: Final = _of_the_run(Run.link_artifact)
link_model: Final = _of_the_run(Run.link_model)
log_artifact: Final = _of_the_run(Run.log_artifact)
log_code: Final = _of_the_run(Run.log_code)
log_model: Final = _of_the_run(Run.log_model)
mark_preempting: Final = _of_the_run(Run.mark_preempting)
pin_config_keys: Final = _of_the_run(Run.pin_config_keys)
restore: Final = _of_the_run(Run.restore)
save: Final = _of_the_run(Run.save)
unwatch: Final = _of_the_run(Run.unwatch)
use_artifact: Final = _of_the_run(Run.use_artifact)
use_model: Final = _of_the_run(Run.use_model)
watch: Final = _of_the_run(Run.watch)


def join(exit_code: int | None = None) -> None:
    """Finish the open run, if there is one."""
    finish(exit_code)


def teardown(exit_code: int | None = None) -> None:
    """Finish the open run, if there is one: there is no service to end."""
    finish(exit_code)


def setup(settings: object = None) -> None:
    """Do nothing: there is no service to start."""


def require(requirement: object = None, experiment: object = None) -> None:
    """Do nothing: wandb's experimental features are not here."""
    ignore("require", "wandb's experimental features are not here")


def termlog(string: str = "", newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Log a text as information."""
    logger.info("%s", string)


def termwarn(string: str, newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Log a text as a warning."""
    logger.warning("%s", string)


def termerror(string: str, newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Log a text as an error."""
    logger.error("%s", string)
