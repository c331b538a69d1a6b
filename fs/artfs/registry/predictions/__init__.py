"""Predictions of registered models: one catalogue for each data set, as versions of Parquet files.

    catalog   `PredictionCatalog`
    queries   finding by metadata
    staging   the next version
    merging   which files become one
    tables    the metadata that were read last
    parts     the files
    pages     what of a file may be decoded
    thrift    the encoding of footers and page headers
    columns   the columns of the files
    records   a prediction, checked, and its id
    arrays    arrays as columns, and back

Each knows only those below it.
"""

from artfs.registry.predictions.catalog import PredictionCatalog

__all__ = ["PredictionCatalog"]
