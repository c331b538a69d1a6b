"""Freeing space: reaping, compaction, and the leases that hold versions."""
