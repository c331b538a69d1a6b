"""What wandb has and artfs lacks, with the reason: for the error that names it, and for docs/coming-from.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["ABSENT", "absent"]

_MEDIA: Final = "charts and media; use wandb alongside artfs"
_SWEEPS: Final = "sweeps; use wandb alongside artfs"
_SERVICE: Final = "a service of W&B's server: accounts, teams, registries, reports, automations, jobs"
_DELETION: Final = "runs are not deleted or stopped from outside; versions are deleted with artifact.delete()"
_INTERNAL: Final = "internal to wandb, its terminal and its notebook display"

ABSENT: Final[Mapping[str, Mapping[str, str]]] = {
    "wandb": {
        **dict.fromkeys(
            (
                *("Audio", "Classes", "EvalTable", "Graph", "Histogram", "Html", "Image", "JoinedTable", "Molecule"),
                *("Object3D", "Plotly", "Video", "box3d", "plot_table", "visualize"),
            ),
            _MEDIA,
        ),
        **dict.fromkeys(("agent", "controller", "sweep"), _SWEEPS),
        **dict.fromkeys(("sagemaker_auth",), _SERVICE),
        **dict.fromkeys(("Config", "attach", "ensure_configured", "patched", "termsetup"), _INTERNAL),
    },
    "Artifact": {"json_encode": _INTERNAL},
    "Run": {
        **dict.fromkeys(("display", "status", "sync_dir", "to_html", "write_logs"), _INTERNAL),
        "__init__": "runs are begun by artfs.init()",
    },
    "public.Run": {
        **dict.fromkeys(("create", "delete", "stop", "update_state"), _DELETION),
        **dict.fromkeys(("display", "to_html", "snake_to_camel", "load_full_data"), _INTERNAL),
        **dict.fromkeys(("console_logs", "download_history_exports", "beta_scan_history", "system_metrics"), _SERVICE),
        **dict.fromkeys(("sweep", "sweep_name"), _SWEEPS),
        "__init__": "runs are returned by artfs.Api()",
    },
    "Api": {
        **dict.fromkeys(
            (
                *("automation", "automations", "create_automation", "create_custom_chart", "create_registry"),
                *("create_run_queue", "create_team", "create_user", "delete_automation", "integrations", "job"),
                *("list_jobs", "organization", "queued_run", "registries", "registry", "reports", "run_queue"),
                *("slack_integrations", "sync_tensorboard", "team", "update_automation", "upsert_run_queue", "user"),
                *("user_agent", "users", "viewer", "webhook_integrations"),
            ),
            _SERVICE,
        ),
        "create_run": "runs are begun by artfs.init()",
        "sweep": _SWEEPS,
    },
    "ArtifactManifest": {
        **dict.fromkeys(("model_config", "model_dump", "model_dump_json", "from_manifest_json"), _INTERNAL),
        **dict.fromkeys(("hash_contents_with_md5", "version"), _INTERNAL),
        **dict.fromkeys(("add_entry", "remove_entry"), "a draft is changed with add_file and remove"),
        "__init__": "manifests are read from artifacts",
    },
    "ArtifactManifestEntry": {
        **dict.fromkeys(("model_config", "model_dump", "model_dump_json", "model_post_init", "to_json"), _INTERNAL),
        "digest_algorithm": "every digest is BLAKE3",
        "__init__": "entries are read from artifacts",
    },
    "public.File": {
        **dict.fromkeys(("display", "path_uri", "snake_to_camel", "to_html"), _INTERNAL),
        "delete": "versions do not change; artifact.new_draft() begins the next one",
        "__init__": "files are returned by runs and artifacts",
    },
    "public.Project": {
        **dict.fromkeys(("display", "snake_to_camel", "to_html"), _INTERNAL),
        **dict.fromkeys(("owner",), _SERVICE),
        "sweeps": _SWEEPS,
        "__init__": "projects are returned by artfs.Api()",
    },
    "public.ArtifactType": {"__init__": "types are returned by artfs.Api()"},
    "public.ArtifactCollection": {
        **dict.fromkeys(("load", "project_id", "project_internal_id"), _INTERNAL),
        "__init__": "collections are returned by artfs.Api()",
    },
}
"""The absent names of each of wandb's classes, and of the module itself."""


def absent(of: str, name: str) -> str:
    """Return the sentence that explains an attribute that is not there."""
    reason = ABSENT[of].get(name)
    what = "artfs" if of == "wandb" else f"an artfs {of.rpartition('.')[2].lower()}"
    if reason is None:
        return f"{what} has no {name!r}"
    return f"{what} has no {name!r}: {reason}"
