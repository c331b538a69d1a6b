"""Random generators, losses and hashing: positions are inside of their buffers, arguments are numbers."""

from __future__ import annotations

from artfs.registry.serializers.estimators.view import View
from artfs.registry.serializers.libraries import require

__all__ = ["check_generator", "check_hasher", "check_loss", "check_random_state"]

_TWISTER_KEY, _PHILOX_BUFFER, _LARGEST_POOL = 624, 4, 1 << 10
_MOST_FEATURES = (1 << 31) - 1


def check_random_state(view: View) -> None:
    """Check a `RandomState`: the twister reads its key at the position that it is given."""
    content = view.content
    view.require(content.attribute("bit_generator").plain() == "MT19937", "it is no Mersenne twister")
    _check_twister(content)


def _check_twister(view: View) -> None:
    numpy = require("numpy", "a random generator")
    state = view.attribute("state")
    key = state.attribute("key")
    view.require(
        key.shape == (_TWISTER_KEY,) and key.dtype.kind in "iu" and key.dtype != numpy.bool_, "its key is none"
    )
    view.require(0 <= state.attribute("pos").integer() <= _TWISTER_KEY, "its position is outside of its key")


def check_generator(view: View) -> None:
    """Check a `Generator` with its bit generator and seeds."""
    generator = View(view.node["content"]["bit_generator"], view.archive, "a random generator")
    seeds = View(view.node["content"]["seed_seq"], view.archive, "a random generator")
    kind = generator.attribute("bit_generator").plain()
    view.require(kind in ("PCG64", "PCG64DXSM", "SFC64", "MT19937", "Philox"), "it has an unknown bit generator")
    if kind == "MT19937":
        _check_twister(generator)
    if kind == "Philox":
        view.require(0 <= generator.attribute("buffer_pos").integer() <= _PHILOX_BUFFER, "its position is outside")
        view.require(generator.attribute("buffer").shape == (_PHILOX_BUFFER,), "its buffer has another size")
    pool = seeds.get("pool_size")
    view.require(pool is None or 0 < pool.integer() <= _LARGEST_POOL, "its pool is too large")


def check_loss(view: View) -> None:
    """Check a compiled loss: it is made with a few numbers and nothing else."""
    arguments = View(view.node["__reduce__"]["args"], view.archive, "a loss").elements
    view.require(len(arguments) <= 2, "it is made with other arguments")
    for each in arguments:
        view.require(isinstance(each.plain(), int | float), "it is made with what is no number")
    rest = view.content
    empty = rest.loader in ("DictNode", "TupleNode") and not rest.node["content"]
    view.require(empty, "it has further state")


def check_hasher(view: View) -> None:
    """Check a hasher of features: compiled code divides by their number."""
    view.require(1 <= view.attribute("n_features").integer() <= _MOST_FEATURES, "n_features is out of range")
