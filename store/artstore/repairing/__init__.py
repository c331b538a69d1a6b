"""Mending what a check has found, and making a lost manifest again."""
