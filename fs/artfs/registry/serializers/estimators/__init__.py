"""The format of skops for scikit-learn, made canonical and audited.

serializer     what is stored, and how a payload is read
schema         the shape of skops' trees
canonical      equal objects become equal bytes
audit          what may be built, and how
trusted_types  the judgement of each type
validators     what must hold of a state that compiled code reads
view           a state before it is built
archive        zip files whose claims are compared with their bytes
"""
