"""Measurements of artfs compared with the plain file system, made through the command as a user runs it."""
