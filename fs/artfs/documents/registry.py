"""All documents by their schema."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import artfs.documents
from artfs.documents.encoding import Document

__all__ = ["documents"]


def documents() -> dict[str, type[Document]]:
    """Return the class of every document by its schema, such as ``artfs.usage/1``, in alphabetical order.

    This imports every module of the package.  A command imports only the module of the document that it prints.
    """
    classes: dict[str, type[Document]] = {}
    for info in iter_modules(artfs.documents.__path__):
        module = import_module(f"artfs.documents.{info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Document) and value is not Document:
                other = classes.setdefault(value.schema, value)
                assert other is value, f"{value.__name__} and {other.__name__} have one schema: {value.schema}"
    return dict(sorted(classes.items()))
