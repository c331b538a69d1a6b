"""Where a version comes from: the process that made it, and the state of the repository of the folder put."""

from artstore.origins.process import process_origin
from artstore.origins.repository import RepositoryState

__all__ = ["RepositoryState", "process_origin"]
