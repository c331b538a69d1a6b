"""The rows of the manifest, typed: reading and counting over one transaction."""
