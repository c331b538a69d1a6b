"""Read-only queries of a workspace."""
