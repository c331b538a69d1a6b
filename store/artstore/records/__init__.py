"""Every record that artfs writes to disk, as pure functions from values to bytes and back.

``seal``       the checksum that each LMDB value carries
``nodes``      chunk and list records, keyed by node number
``trees``      directory records: the canonical form (hashed, packed) and the local form (keyed by node number)
``catalogue``  artifacts, versions, aliases, drafts: JSON, so that fields can be added for years
``packing``    the framing of pack files

and, in files of their own:

``journal_frames``  the framing of the journal's records, which are ``events``
``statblocks``      the blocks of a stat cache
``identity``        ``artfs.json``, which identifies a workspace

The formats are documented in ``docs/format.md``; test vectors in the tests are kept for ever.
"""
