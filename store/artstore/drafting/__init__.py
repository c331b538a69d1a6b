"""Versions put together step by step."""
