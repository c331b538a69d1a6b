"""Adapters between the kernel's requests and the serving core; each is the only code that knows its binding."""
