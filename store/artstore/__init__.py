"""The engine of artfs: versions, trees, chunks and packs.  Synchronous; knows neither FUSE nor an event loop.

Words: a *workspace* is one store on disk.  An *artifact* is a named sequence of *versions*; a version is an immutable
directory tree with a record.  An *alias* is a movable name of one version.  A *draft* is a version being built; it
owns what it has staged.  *Trees* (directories), *lists* (extents of large files) and *chunks* are nodes:
content-addressed by BLAKE3, stored once, counted by their parents.  A *pack* is an append-only file of chunks.
"""
