"""Drafts: versions that are assembled step by step."""
