"""The packs of a remote: objects with the content of versions, and the way there and back.

A *data pack* has chunks, as the local packs store them; a *tree pack* has *spans* of located directory records, lists
of chunks, pack sets and push manifests.  `docs/remote-format.md` describes the bytes.
"""
