"""The groups of operations that a `Workspace` has, one class each: ``ws.aliases``, ``ws.drafts``, ``ws.runs``, ...

Each holds only the store, so that an instance is cheap, and is created at each access.
"""
