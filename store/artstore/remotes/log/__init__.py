"""The log of a remote: what its versions, names and aliases are, decided by the order of small objects.

``fields``        the forms of fields, and reading them
``operations``    what entries do, as values and bytes
``entries``       transactions and entries, and the envelope around them
``state``         what the entries up to a number amount to
``rules``         what each operation needs and changes
``voids``         why a transaction is void, as a sentence
``fold``          one entry more
``checkpoints``   the state as bytes, its names in the store, and the hint
``reading``       reading on to the log's end
``appending``     adding an entry
``condemn_lists`` which packs a collection gives up

All but the last three are pure functions, part of the format (docs/remote-format.md) and fixed by vectors.
"""
