"""Arrays of predictions as columns of numbers and texts, and back: the same values, shape and dtype.

An array is stored as the flat list of its values, row by row, its shape, and its dtype.  Numbers are doubles, those of
``sample_indices`` 64-bit integers, so that any program reads them.  Integers that a column cannot hold exactly, and
labels that are text, are texts as well.  Objects other than text are refused: there is nothing to unpickle.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from artfs.registry.errors import PredictionError
from artfs.registry.serializers.errors import MalformedPayloadError
from artstore.arguments import shown_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ARRAYS", "INDICES", "StoredArray", "array_of", "stored_array"]

INDICES: Final = "sample_indices"
ARRAYS: Final = ("y_true", "y_pred", "y_proba", INDICES, "weights")
"""The arrays that a prediction can have."""
_DTYPE: Final = re.compile(r"\|b1|[<>|][iu][1248]|[<>]f[248]|[<>]U([0-9]{1,9})|object", re.ASCII)
_EXACT: Final = 1 << 53
"""Integers up to this one are doubles."""
_LONGEST: Final = (1 << 31) - 1
_MOST_TEXT: Final = 1 << 28
"""The most bytes that an array of text may take in memory."""


class StoredArray(NamedTuple):
    """An array in columns; ``numbers`` is None for text, ``texts`` for numbers that the column holds exactly."""

    dtype: str
    shape: tuple[int, ...]
    numbers: NDArray[Any] | None
    texts: list[str] | None

    @property
    def raw_bytes(self) -> int:
        """About the bytes that the columns take before compression."""
        numbers = 0 if self.numbers is None else self.numbers.nbytes
        return numbers + sum(4 + len(text.encode()) for text in self.texts or ())


def stored_array(value: object, name: str) -> StoredArray:
    """Return an array, or what NumPy makes one of, in columns.

    Raises `PredictionError` for what is not an array of numbers, booleans or text.
    """
    array = _checked(value, name)
    dtype = array.dtype.str if array.dtype.kind != "O" else "object"
    flat = array.reshape(-1)
    if array.dtype.kind in "UO":
        return StoredArray(dtype, array.shape, None, _texts(flat, name))
    return StoredArray(dtype, array.shape, *_numbers(flat, name))


def _checked(value: object, name: str) -> NDArray[Any]:
    import numpy as np

    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise PredictionError(f"{name} has masked values", hint="fill them first: value.filled(numpy.nan)")
    try:
        array = np.asarray(value)
    except Exception as error:  # whatever the object's own conversion raises
        raise PredictionError(f"{name} is not an array: {shown_value(value)}") from error
    if not hasattr(value, "dtype"):
        _require_unchanged(value, array, name)
    if array.ndim == 0:
        raise PredictionError(f"{name} must be an array with a value for each sample, not {shown_value(value)}")
    if array.size > _LONGEST:
        raise PredictionError(f"{name} has {array.size} values, more than the {_LONGEST} of a column")
    if array.dtype.kind != "O" and not _DTYPE.fullmatch(array.dtype.str):
        raise PredictionError(
            f"{name} has the dtype {array.dtype}, which predictions cannot have",
            hint="use integers, floats of up to 64 bits, booleans or text",
        )
    if name == INDICES and array.size and array.dtype.kind not in "iuUO":
        raise PredictionError(f"{name} must be integers or text, not {array.dtype}")
    if name in ("y_proba", "weights") and array.size and array.dtype.kind in "UO":
        raise PredictionError(f"{name} must be numbers, not {array.dtype}", hint="convert it first: .astype(float)")
    return array


def _require_unchanged(value: object, array: NDArray[Any], name: str) -> None:
    """Refuse a list of which NumPy silently makes other values: text of numbers, or doubles of large integers."""
    import numpy as np

    if array.dtype.kind not in "Uf":
        return
    for each in np.asarray(value, object).reshape(-1).tolist():
        if array.dtype.kind == "U":
            is_other = not isinstance(each, str) or each.endswith("\0")
        else:
            is_other = isinstance(each, int) and abs(each) > _EXACT and int(float(each)) != each
        if is_other:
            raise PredictionError(f"{name} is a list of which NumPy makes other values: {shown_value(each)}")


def _texts(flat: NDArray[Any], name: str) -> list[str]:
    if flat.dtype.kind == "U" and flat.nbytes > _MOST_TEXT:
        raise PredictionError(f"{name} takes {flat.nbytes} bytes of text, more than {_MOST_TEXT}")
    texts = flat.tolist()
    for value in texts:
        if not isinstance(value, str):
            raise PredictionError(
                f"{name} is an array of objects, and {shown_value(value)} in it is not text",
                hint="convert it first: .astype(float) for numbers, .astype(str) for labels",
            )
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise PredictionError(f"{name} has the text {value!r}, which UTF-8 cannot hold") from error
    return [str(value) for value in texts]


def _numbers(flat: NDArray[Any], name: str) -> tuple[NDArray[Any] | None, list[str] | None]:
    import numpy as np

    if name == INDICES:
        if flat.dtype == np.uint64 and flat.size and int(flat.max()) > np.iinfo(np.int64).max:
            return None, [str(number) for number in flat.tolist()]
        return np.ascontiguousarray(flat, np.int64), None
    with np.errstate(invalid="ignore"):  # a signalling NaN
        numbers = np.ascontiguousarray(flat, np.float64)
    is_long = flat.dtype.kind in "iu" and flat.dtype.itemsize == 8 and flat.size > 0
    if is_long and (int(flat.max()) > _EXACT or int(flat.min()) < -_EXACT):
        return numbers, [str(number) for number in flat.tolist()]
    return numbers, None


def array_of(stored: StoredArray, name: str) -> NDArray[Any]:
    """Return the array in columns; raise `MalformedPayloadError` if the columns contradict each other."""

    matched = _DTYPE.fullmatch(stored.dtype)
    values = stored.texts if stored.texts is not None else stored.numbers
    if matched is None or values is None or math.prod(stored.shape) != len(values) or min(stored.shape, default=-1) < 0:
        raise _contradiction(name)
    try:
        flat = _restored(stored, int(matched[1] or 0))
        if flat is not None:
            return flat.reshape(stored.shape)
    except (ValueError, OverflowError, TypeError) as error:
        raise _contradiction(name) from error
    raise _contradiction(name)


def _restored(stored: StoredArray, width: int) -> np.ndarray[Any, Any] | None:
    import numpy as np

    if stored.dtype == "object":
        flat = np.empty(len(stored.texts or ()), object)
        flat[:] = stored.texts or []
        return flat if stored.texts is not None else None
    dtype = np.dtype(stored.dtype)
    if stored.texts is not None:
        if dtype.kind == "U":
            is_small = 4 * width * len(stored.texts) <= _MOST_TEXT
            is_whole = all(len(text) <= width for text in stored.texts)
            return np.array(stored.texts, dtype) if is_small and is_whole else None
        return np.array([int(text) for text in stored.texts], dtype) if dtype.kind in "iu" else None
    numbers = stored.numbers
    if numbers is None or dtype.kind == "U":
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        flat = numbers.astype(dtype)
        same = (flat == numbers) | ((flat != flat) & (numbers != numbers))
    return flat if bool(np.all(same)) else None


def _contradiction(name: str) -> MalformedPayloadError:
    return MalformedPayloadError(f"the {name} of a prediction contradicts its own dtype and shape")
