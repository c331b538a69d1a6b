"""Files outside the store that versions refer to: naming, reaching, pinning and reading them.

It does not depend on versions or the manifest: a reference is a record (`artstore.records.references`) and its id.
"""
