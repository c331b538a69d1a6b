"""Retention: expiring versions automatically, by rules that the owner has set.

A *rule* selects versions and defines which of them to keep; a version expires if a rule selects it and no rule that
selects it keeps it.  A version may also have an expiry time (TTL), which then decides alone.  A version that an alias
or an open draft refers to stays regardless of the rules, and so does `latest` unless it has an expiry time.

`rules` defines and stores the rules, `judging` decides, without reading a clock or store, and `applying` deletes, as
``artfs rm`` does: expired versions can be undeleted for a while.
"""
