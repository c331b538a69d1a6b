"""Giving space back: reaping, compaction, and the leases that hold versions."""
