"""The test suite in several processes at once, as ``scripts/test`` runs it."""
