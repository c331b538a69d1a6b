"""Compaction: free the space that punching holes cannot free.

``loose_packs``  copy every pack that is worth it, the smallest first, and free the old ones
``packs``        copy the live content of a pack to another pack
``pack_tails``   cut the dead end off a pack
``pack_removal`` remove packs without live content
``pack_sources`` the segments of a pack, and what lives in them
``environment``  copy the LMDB environment without its free pages, and switch to the copy
``journal``      rewrite the journal as the fewest events that lead to the catalogue
"""

from artstore.reclaim.compaction.environment import compact_environment, retire_replaced
from artstore.reclaim.compaction.journal import compact_journal, remove_old_journals, rewrite_journal
from artstore.reclaim.compaction.loose_packs import Compacted, compact_packs
from artstore.reclaim.compaction.pack_removal import remove_empty
from artstore.reclaim.compaction.packs import Copied, compact_pack, worthwhile

__all__ = [
    "Compacted",
    "Copied",
    "compact_environment",
    "compact_journal",
    "compact_pack",
    "compact_packs",
    "remove_empty",
    "remove_old_journals",
    "retire_replaced",
    "rewrite_journal",
    "worthwhile",
]
