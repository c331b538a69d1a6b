"""Compaction: making smaller what holes cannot.

``packs``        copy what lives in a pack to another, and remove packs in which nothing lives
``environment``  copy the LMDB environment without its free pages, and switch to the copy
``journal``      write the journal anew, as the fewest events that lead to the catalogue
"""

from artstore.reclaim.compaction.environment import compact_environment, retire_replaced
from artstore.reclaim.compaction.journal import compact_journal, remove_old_journals
from artstore.reclaim.compaction.packs import Copied, compact_pack, remove_empty, worthwhile

__all__ = [
    "Copied",
    "compact_environment",
    "compact_journal",
    "compact_pack",
    "remove_empty",
    "remove_old_journals",
    "retire_replaced",
    "worthwhile",
]
