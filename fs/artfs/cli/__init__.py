"""The ``artfs`` command: one module per family of commands, over the store's facade and the mount's control functions.

Nothing here opens the store or the mount before a command needs it, so that ``artfs --help`` answers at once.
"""
