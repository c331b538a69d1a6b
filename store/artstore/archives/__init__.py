"""Archives: versions in one file, a plain tar that is readable without artfs.  `docs/export.md` describes the format.

    headers   the headers of POSIX tar
    index     the versions of an archive and their entries, as lines of JSON
    layout    the members of an archive: a pure function of its index
    writing   making an archive of versions
    reading   reading one: checked whole, then content by content

Every byte of an archive but content follows from its index, and content from its digest.  So equal versions are equal
archives, and the reader has no parser for headers: it compares what is there with what must be there.
"""
