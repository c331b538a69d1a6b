"""Predictions of registered models: one catalogue for each data set, as versions of Parquet files.

arrays    arrays as columns, and back
records   a prediction, checked, and its id
columns   the columns of the files
pages     what may be decoded
parts     the files
merging   which files become one
staging   the next version
queries   finding by metadata
catalog   `PredictionCatalog`
"""

from artfs.registry.predictions.catalog import PredictionCatalog

__all__ = ["PredictionCatalog"]
