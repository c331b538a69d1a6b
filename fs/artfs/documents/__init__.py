"""The JSON documents of ``--json``: a frozen dataclass for each shape, and one encoder."""
