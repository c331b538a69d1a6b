"""Compaction: free the space that punching holes cannot free.

``packs``        copy the live content of a pack to another pack, and remove packs without live content
``environment``  copy the LMDB environment without its free pages, and switch to the copy
``journal``      rewrite the journal as the fewest events that lead to the catalogue
"""

from artstore.reclaim.compaction.environment import compact_environment, retire_replaced
from artstore.reclaim.compaction.journal import compact_journal, remove_old_journals, rewrite_journal
from artstore.reclaim.compaction.packs import Copied, compact_pack, remove_empty, worthwhile

__all__ = [
    "Copied",
    "compact_environment",
    "compact_journal",
    "compact_pack",
    "remove_empty",
    "remove_old_journals",
    "retire_replaced",
    "rewrite_journal",
    "worthwhile",
]
