"""Three users and root on one machine, in a mount namespace of their own in which each of them can use FUSE."""
