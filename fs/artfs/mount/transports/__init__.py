"""Adapters between the kernel's requests and the serving core; only the adapter depends on its binding."""
