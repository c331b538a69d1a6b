"""Remotes: workspaces of many machines on one object store.

``log``    the numbered entries that decide what exists, their fold, checkpoints, reading and appending
``packs``  the objects with the trees and the content of versions
"""
