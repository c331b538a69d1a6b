"""Storage on disk: LMDB, packs, the journal, and their caches."""
