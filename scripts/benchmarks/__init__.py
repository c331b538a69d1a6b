"""Measurements of artfs beside the plain file system, made through the command as a user runs it."""
