"""What lies on the disk: LMDB, packs, the journal, and the caches before them."""
