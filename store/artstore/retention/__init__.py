"""Retention: expiring versions automatically, by rules that an owner has set.

A *rule* selects versions and says which of them to keep; a version goes when a rule selects it and no rule that selects
it keeps it.  A version may also have an end of its own (TTL), which then decides alone.  What people point at (an
alias, an open draft) stays whatever a rule says, and so does `latest`, but for an end of its own.

`rules` is what a rule says, `judging` decides, without looking at any clock or store, and `applying` deletes, as
``artfs rm`` does: what goes can be undeleted for a while.
"""
