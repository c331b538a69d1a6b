"""The modules whose tests are not at their own path, by where these are."""

from __future__ import annotations

from typing import Final

__all__ = ["TESTED_ELSEWHERE"]

TESTED_ELSEWHERE: Final = {
    # A step of an operation: what it guarantees shows in the operation's result only.
    "tests/store/changes/test_deleting.py": ["artstore/changes/version_ranges"],
    "tests/store/changes/test_previewing.py": ["artstore/ingest/trial"],
    "tests/store/changes/test_putting.py": ["artstore/progress"],
    "tests/store/drafting/test_draft_steps.py": ["artstore/drafting/open_draft", "artstore/drafting/adding"],
    "tests/store/drafting/test_reference_ops.py": [
        "artstore/drafting/stage_reference",
        "artstore/records/references",
        "artstore/references/failures",
    ],
    "tests/store/queries/exporting/test_exporting.py": [
        f"artstore/queries/exporting/{name}"
        for name in ("folders", "meter", "selection", "survey", "workers", "writing")
    ],
    "tests/store/queries/test_file_history.py": ["artstore/rows/histories"],
    "tests/store/queries/test_versions.py": [f"artstore/queries/{name}" for name in ("artifacts", "paths", "receipts")],
    "tests/store/remotes/test_alignment.py": ["artstore/remotes/descriptions"],
    "tests/store/remotes/test_runs.py": ["artstore/remotes/run_records"],
    "tests/store/remotes/test_settling.py": ["artstore/changes/landing", "artstore/rows/pending"],
    "tests/store/remotes/test_checking.py": [
        "artstore/remotes/checked_objects",
        "artstore/remotes/log/checking",
    ],
    "tests/store/remotes/log/test_entries.py": ["artstore/remotes/log/fields", "artstore/remotes/log/operations"],
    "tests/store/remotes/log/test_fold.py": ["artstore/remotes/log/state", "artstore/remotes/log/voids"],
    "tests/store/checking/test_check_remotes.py": ["artstore/repairing/repair_remotes"],
    "tests/store/records/test_events.py": ["artstore/records/event_values"],
    "tests/store/rows/test_remotes.py": ["artstore/records/remotes"],
    "tests/store/rows/test_lineage.py": ["artstore/changes/linking", "artstore/queries/graph"],
    "tests/store/test_workspace.py": ["artstore/namespaces/administration", "artstore/queries/resolving"],
    "tests/store/queries/test_usage.py": ["artstore/namespaces/accounting", "artstore/queries/figures"],
    "tests/store/storage/test_closing.py": ["artstore/namespaces/opened"],
    "tests/fs/mount/test_tree.py": [
        f"artfs/mount/{name}" for name in ("attributes", "catalogue", "handle", "snapshot_source", "xattrs")
    ],
    "tests/fs/tracking/test_artifact.py": [
        f"artfs/tracking/{name}"
        for name in ("assembly", "description", "entries", "naming", "values", "verifying", "workspaces")
    ],
    "tests/fs/test_filesystem_contract.py": ["artfs/universal_path"],
    "tests/fs/tracking/test_disabled.py": ["artfs/tracking/unrecorded"],
    "tests/fs/tracking/test_run.py": [
        f"artfs/tracking/{name}" for name in ("active_run", "aliases", "api", "run_values")
    ],
    "tests/fs/tracking/test_wandb_surface.py": [
        f"artfs/tracking/{name}"
        for name in (
            *("absent", "artifact_collections", "lineage", "manifest", "notices", "recorded_run", "run_files"),
            *("run_filters", "run_functions", "run_history", "run_models", "run_unused", "settings", "tables"),
        )
    ]
    + ["artfs/errors"],
    "tests/fs/registry/test_chains.py": ["artfs/registry/errors", "artfs/registry/estimators"],
    "tests/fs/registry/test_registry.py": [
        f"artfs/registry/{name}" for name in ("lookup", "naming", "payloads", "records", "values", "workspaces")
    ],
    "tests/fs/registry/test_dependences.py": ["artfs/registry/sources"],
    "tests/fs/registry/test_structures.py": ["artfs/registry/estimator_parts"],
    **{
        f"tests/fs/registry/serializers/boosters/test_{library}_models.py": [
            f"artfs/registry/serializers/boosters/{name}" for name in names
        ]
        for library, names in {
            "lightgbm": ["lightgbm_text", "trees", "wrappers"],
            "xgboost": ["ubjson", "xgboost_trees"],
            "catboost": ["catboost_trees", "flatbuffer"],
        }.items()
    },
    "tests/fs/registry/serializers/networks/test_keras_models.py": [
        f"artfs/registry/serializers/networks/{name}" for name in ("keras_config", "keras_weights")
    ],
    "tests/fs/registry/library/test_trained.py": [
        f"artfs/registry/library/{name}" for name in ("entries", "files", "referenced", "stored_entries")
    ],
    "tests/fs/registry/predictions/test_arrays.py": ["artfs/registry/predictions/columns"],
    "tests/fs/registry/predictions/test_pages.py": ["artfs/registry/predictions/thrift"],
    "tests/fs/cli/test_registry.py": ["artfs/cli/bundles", "artfs/cli/datasets", "artfs/documents/registered"],
    "tests/fs/cli/test_library.py": ["artfs/documents/library"],
    "tests/fs/test_metrics.py": ["artfs/cli/monitoring"],
    "tests/fs/cli/test_versions.py": ["artfs/cli/histories", "artfs/documents/histories"],
    "tests/fs/cli/test_remote.py": ["artfs/documents/remotes", "artfs/cli/exchange"],
    "tests/store/remotes/test_adding.py": ["artstore/namespaces/remotes"],
    "tests/store/remotes/test_collecting.py": ["artstore/remotes/holdings"],
    "tests/store/remotes/test_deleting.py": [f"artstore/remotes/{name}" for name in ("everywhere", "following")],
    "tests/store/remotes/test_exchanging.py": ["artstore/remotes/dropping", "artstore/remotes/connecting"],
    "tests/store/remotes/lazy/test_source.py": [
        f"artstore/{name}"
        for name in (
            *("records/lazy_nodes", "records/views", "rows/lazy_source", "rows/views", "remotes/lazy/bounded"),
            *("remotes/lazy/contents", "remotes/lazy/failures", "remotes/lazy/spans", "queries/descriptions"),
        )
    ],
    "tests/store/remotes/lazy/test_requests.py": ["artstore/remotes/lazy/ranges", "artstore/remotes/polling"],
    "tests/store/queries/test_relations.py": ["artstore/namespaces/relations"],
    # Repairs and checks: a table of damage runs through all of them, and an oracle judges the result.
    "tests/store/checking/test_structure.py": [
        f"artstore/checking/{name}" for name in ("check_names", "extents", "lineages")
    ],
    "tests/store/records/test_trees.py": ["artstore/records/packed_trees"],
    "tests/store/checking/test_verifying.py": ["artstore/checking/packed", "artstore/rows/packed_trees"],
    "tests/store/remotes/test_pushing.py": [
        f"artstore/remotes/{name}" for name in ("cloning", "connection", "entry_notes", "sending")
    ],
    "tests/store/remotes/packs/test_writing.py": [
        f"artstore/remotes/packs/{name}" for name in ("base_trees", "content_output", "output", "span_output")
    ],
    "tests/store/repairing/test_rebuild.py": ["artstore/checking/exclusive", "artstore/repairing/rebuild_nodes"],
    "tests/store/repairing/test_repair_files.py": ["artstore/repairing/repair_folders"],
    "tests/store/repairing/test_repair_nodes.py": [
        f"artstore/repairing/{name}" for name in ("merge_duplicates", "repair_chunks", "repair_records")
    ],
    "tests/store/repairing/test_repair_tables.py": [
        f"artstore/repairing/{name}" for name in ("repair", "repair_counts", "replace_rows")
    ],
    # Rows and records: a model, or vectors and malformed bytes, cover every kind in one place.
    "tests/store/namespaces/test_runs.py": [
        f"artstore/{name}" for name in ("changes/recording", "queries/runs", "rows/runs")
    ],
    "tests/store/records/test_malformed.py": ["artstore/records/counters", "artstore/records/deadlist"],
    "tests/store/records/test_seal.py": ["artstore/records/tables"],
    "tests/store/reclaim/test_reaper.py": [
        f"artstore/{name}" for name in ("reclaim/collecting", "reclaim/holes", "rows/deadlist", "rows/reachability")
    ],
    "tests/store/reclaim/compaction/test_packs.py": [
        f"artstore/reclaim/compaction/{name}" for name in ("pack_removal", "pack_sources")
    ],
    "tests/crash/test_without_holes.py": ["artstore/reclaim/compaction/loose_packs", "artstore/reclaim/space"],
    "tests/store/retention/test_applying.py": ["artstore/retention/rules", "artstore/clock"],
    "tests/fs/cli/test_dry_runs.py": ["artstore/reclaim/plan", "artstore/rows/interrupted"],
    # Files outside: what matters is what servers answer, so the tests go through servers.
    "tests/store/references/test_pinning.py": ["artstore/references/services", "artstore/references/local"],
    "tests/store/references/test_reading.py": ["artstore/references/delegating", "artstore/references/sums"],
    "tests/store/objects/test_delegating.py": ["artstore/objects/helper"],
    # Commands: `test_documents` runs each of them, and these have no logic of their own.
    "tests/fs/cli/test_documents.py": [f"artfs/cli/{name}" for name in ("artifacts", "caching", "differences")],
    "tests/fs/cli/test_demo.py": ["artfs/cli/demo_data"],
    "tests/users/test_config_shared.py": ["artstore/changes/sharing", "artstore/storage/modes"],
    "tests/fs/cli/test_wrong_words.py": ["artfs/cli/exit_codes", "artfs/cli/projects"],
    "tests/fs/cli/test_shells.py": ["artfs/cli/completion"],
    "tests/scripts/test_interface_tables.py": ["artfs/cli/variables"],
    "tests/fs/cli/test_output.py": ["artfs/legible"],
    "tests/fs/ui/test_artifacts.py": ["artfs/ui/addresses", "artfs/ui/application", "artfs/ui/pages"],
    "tests/fs/comparing/test_contents.py": [
        *("artfs/cli/content_differences", "artfs/contents/sources", "artfs/documents/contents"),
    ],
    "tests/fs/comparing/test_tables.py": [
        *("artfs/comparing/row_differences", "artfs/contents/table_formats", "artfs/contents/table_previews"),
        *("artfs/contents/tables",),
    ],
    "tests/fs/contents/test_child.py": ["artfs/contents/child_program"],
    "tests/fs/contents/test_kinds.py": ["artfs/contents/dump"],
    "tests/fs/display/test_fragments.py": ["artfs/display/page"],
    "tests/fs/drawing/test_treemap.py": ["artfs/drawing/svg"],
    "tests/fs/ui/test_server.py": ["artfs/cli/ui"],
    "tests/fs/cli/test_main.py": ["artfs/cli/machine", "artfs/cli/session", "artfs/quantities"],
    # Processes and the kernel: only a mount shows what they do.
    "tests/store/test_mount_leases.py": ["artstore/byte_locks"],
    "tests/users/test_shared_work.py": ["artstore/reclaim/eviction"],
    "tests/fs/mount/test_lease_protocol.py": ["artfs/mount/leases"],
    "tests/mount/test_caching.py": [f"artfs/mount/{name}" for name in ("cache", "notifications")],
    "tests/mount/test_control.py": [
        f"artfs/mount/{name}" for name in ("checks", "configuration", "control", "reports", "table")
    ],
    "tests/mount/test_daemons.py": [
        f"artfs/mount/{name}" for name in ("attaching", "daemon", "holders", "kernel", "zygote")
    ],
    "tests/mount/test_lane.py": ["artfs/mount/transports/handover"],
    "tests/mount/test_users.py": ["artfs/mount/ownership"],
    "tests/fs/mount/test_direct.py": [f"artfs/mount/transports/{name}" for name in ("answering", "direct", "waiting")],
    "tests/fs/mount/test_protocol.py": ["artfs/mount/transports/protocol"],
    "tests/fs/mount/test_pump.py": ["artfs/mount/transports/pump"],
    "tests/mount/test_system_calls.py": ["artfs/mount/transports/pyfuse3"],
}
"""The modules that have no test module of their own, by the one that reaches them."""
