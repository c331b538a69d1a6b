"""`Table`: rows and columns that an artifact keeps as JSON, in the form of wandb's tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from artfs.tracking.conversion import json_value
from artstore.arguments import shown_value
from artstore.errors import DamageError, InvalidInputError

__all__ = ["SUFFIX", "Table"]

SUFFIX: Final = ".table.json"


class Table:
    """Rows with named columns; cells are whatever JSON can hold, and numpy's numbers.

    ``data`` is a sequence of rows, ``dataframe`` a pandas DataFrame instead of both.
    """

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        data: Sequence[Sequence[Any]] | None = None,
        rows: Sequence[Sequence[Any]] | None = None,
        dataframe: Any = None,
        **_: object,
    ) -> None:
        if dataframe is not None:
            columns, data = [str(name) for name in dataframe.columns], dataframe.values.tolist()
        given = data if data is not None else rows if rows is not None else []
        width = len(given[0]) if len(given) else 0
        self.columns = list(columns) if columns is not None else [str(number) for number in range(width)]
        self.data: list[list[Any]] = []
        for row in given:
            self.add_data(*row)

    def __repr__(self) -> str:
        return f"<Table {len(self.data)} rows of {', '.join(map(str, self.columns))}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and (self.columns, self.data) == (other.columns, other.data)

    __hash__ = None  # type: ignore[assignment]  # rows are added in place

    def add_data(self, *cells: Any) -> None:
        """Add a row; raise `InvalidInputError` if it has another number of cells than there are columns."""
        if len(cells) != len(self.columns):
            raise InvalidInputError(f"the table has {len(self.columns)} columns, and the row {len(cells)} cells")
        self.data.append(list(cells))

    add_row = add_data

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield (number, cells) of each row."""
        yield from enumerate(self.data)

    def get_column(self, name: str) -> list[Any]:
        """Return the cells of a column; raise `InvalidInputError` if there is none of that name."""
        if name not in self.columns:
            raise InvalidInputError(f"the table has no column {name!r}: it has {', '.join(map(str, self.columns))}")
        at = self.columns.index(name)
        return [row[at] for row in self.data]

    def get_dataframe(self) -> Any:
        """Return a pandas DataFrame."""
        import pandas

        return pandas.DataFrame(self.data, columns=self.columns)

    def encode(self) -> str:
        """Return the JSON document."""
        data = [[json_value(cell) for cell in row] for row in self.data]
        document = {"_type": "table", "columns": self.columns, "data": data}
        return json.dumps({**document, "ncols": len(self.columns), "nrows": len(data)})

    @classmethod
    def decode(cls, text: str | bytes, name: str) -> Table:
        """Return the table of a JSON document; raise `DamageError` if the file ``name`` is none."""
        try:
            document = json.loads(text)
            return cls(columns=document["columns"], data=document["data"])
        except (ValueError, KeyError, TypeError) as error:
            raise DamageError(f"{name!r} is not a table: {shown_value(str(error))}") from error
