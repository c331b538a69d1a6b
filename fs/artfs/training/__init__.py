"""Samples of a version for training, and the order in which they are read.

Nothing here needs a framework; `artfs.torch` makes PyTorch's classes of it.
"""
