"""Reading what lies in a remote without making it local: nodes of spans, chunks on demand, and a cache of both.

`source` answers what `artstore.rows.lazy_source.LazySource` asks, `ranges` fetches through the cache of this user.
"""
