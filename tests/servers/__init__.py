"""Servers on loopback, for what lies outside: real ones where they can be had, and one that misbehaves."""
