"""The environment variables that users set: the one table for the documentation and the manual pages."""

from __future__ import annotations

from typing import Final

__all__ = ["INTERNAL", "VARIABLES"]

VARIABLES: Final = {
    "ARTFS_WORKSPACE": "the workspace, if no `-w` is given",
    "ARTFS_DEBUG": "if set, an internal error also prints where it happened",
    "ARTFS_PAGER": "the pager for long answers on a terminal; `cat` or empty for none",
    "ARTFS_REFERENCE_ROOTS": "folders, hosts and networks that references may lead to, besides those of "
    "`artfs config reference-roots`, separated by spaces",
    "ARTFS_REFERENCE_TIMEOUT": "the seconds after which a server that sends nothing is given up",
    "ARTFS_REMOTE_TIMEOUT": "the seconds after which a request to a remote has failed, besides those for what it sends",
    "ARTFS_CACHE_DIR": "the folder for the copies that downloads keep; else `WANDB_CACHE_DIR`",
    "ARTFS_CACHE_LIMIT": "the size to which that folder is cleaned up after a download, such as `50GB`; else "
    "`WANDB_CACHE_LIMIT`",
    "ARTFS_ARTIFACT_DIR": "the folder for downloads without a root, if there is no mount; else `WANDB_ARTIFACT_DIR`",
    "ARTFS_DOWNLOAD": "`copy`: downloads use no mount; `mount`: they use nothing else",
    "ARTFS_PROJECT": "the project of runs; else `WANDB_PROJECT`",
    "ARTFS_ENTITY": "an entity that names of artifacts may begin with, and that is passed over; else `WANDB_ENTITY`",
    "ARTFS_MODE": "`disabled`: runs record nothing; else `WANDB_MODE`",
    "ARTFS_NAME": "the display name of the run; else `WANDB_NAME`",
    "ARTFS_RUN_ID": "the id of the run; else `WANDB_RUN_ID`",
    "ARTFS_RUN_GROUP": "the group of the run; else `WANDB_RUN_GROUP`",
    "ARTFS_JOB_TYPE": "the job type of the run; else `WANDB_JOB_TYPE`",
    "ARTFS_LANE": "`0`: mounts do without the [fast lane](mount.md#the-fast-lane)",
    "ARTFS_KEY_FILE": "the file with the key that signs this user's registered models; default "
    "`$XDG_DATA_HOME/artfs-keys/registry.key`",
    "PAGER": "the pager, if `ARTFS_PAGER` is not set; default `less`",
    "LESS": "the options of `less`; default `FRX`",
    "NO_COLOR": "if it is not empty, no colours",
    "TERM": "`dumb`: no colours, no pager, no progress bar",
    "COLUMNS": "the width of the terminal, if it is not the real one",
    "TMPDIR": "the folder for temporary files",
    "XDG_CONFIG_HOME": "the folder with `artfs/`, which has the choice of the default workspace and the reference "
    "roots; default `~/.config`",
    "XDG_DATA_HOME": "the folder of the default workspace `artfs`; default `~/.local/share`",
    "XDG_CACHE_HOME": "the folder of the cache for downloads, if `ARTFS_CACHE_DIR` is not set; default `~/.cache`",
    "XDG_RUNTIME_DIR": "the folder for sockets and for mounts that `artfs path` makes; by default `/run/user/UID`, or "
    "one in the folder for temporary files",
}
"""What each variable means.  The credentials of object stores are those of their own tools: see docs/references.md."""

INTERNAL: Final = ("_ARTFS_COMPLETE", "_ARTFS_BREAKS")
"""Variables by which the scripts of ``artfs completion`` ask for candidates."""
