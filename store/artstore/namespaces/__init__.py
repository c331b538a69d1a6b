"""The groups of operations that a `Workspace` has, one class each: ``ws.aliases``, ``ws.drafts``, ``ws.runs``, ...

Each holds the store and nothing else, so they are made when they are asked for.
"""
