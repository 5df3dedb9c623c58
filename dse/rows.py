"""Points as rows of a table: which columns there are, of which types, and how a block becomes rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dse.level import TRUST, Chunk, Level
from dse.space import Space
from sim.tech import Tech

__all__ = ["TEXT", "plain_table", "rows_schema", "rows_table", "taken"]

TEXT = pa.dictionary(pa.int32(), pa.string())
"""Type of columns of names."""


def rows_schema(spaces: Sequence[Space], level: Level) -> pa.Schema:
    """Family, every parameter of every family (null where a family has none), metrics."""
    kinds: dict[str, set[type]] = {}
    for space in spaces:
        for name, p in space.parameters.items():
            kinds.setdefault(name, set()).add(p.type)
    text = TEXT
    types = {int: pa.int32(), bool: pa.bool_()}
    fields = [pa.field("pe", text)]
    fields += [
        pa.field(name, types.get(next(iter(kind)), text) if len(kind) == 1 else text) for name, kind in kinds.items()
    ]
    metrics = {float: pa.float64(), int: pa.int64(), bool: pa.bool_(), str: text}
    fields += [pa.field(name, metrics[kind]) for name, kind in level.metrics.items()]
    return pa.schema([*fields, *(pa.field(name, text) for name in TRUST)])


def _constant(value: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if value is None:
        return pa.nulls(rows, kind)
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([str(value)]))
    return pa.array(np.full(rows, value), kind)


def rows_table(
    space: Space, chunk: Chunk, schema: pa.Schema, tech: Tech, level: Level, fixed: Mapping[str, Any] | None = None
) -> pa.Table:
    """Points of a block as rows of ``schema``; ``fixed``: values of columns that are the same in all of them."""
    shared = {**chunk.fixed, "pe": space.family, "basis": level.basis(tech, space.family), **(fixed or {})}
    rows = len(chunk.columns["cycles"])
    arrays = []
    for item in schema:
        values = chunk.columns.get(item.name)
        if values is None:
            arrays.append(_constant(shared.get(item.name), item.type, rows))
        elif item.name in chunk.texts:
            texts = pa.array(list(chunk.texts[item.name]), pa.string())
            arrays.append(pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int32)), texts))
        elif pa.types.is_dictionary(item.type):
            arrays.append(pa.array([str(value) for value in values]).dictionary_encode())
        else:
            arrays.append(pa.array(values, item.type, safe=False))
    return pa.Table.from_arrays(arrays, schema=schema)


def taken(chunk: Chunk, rows: np.ndarray) -> Chunk:
    """Some points of a block; ``rows``: their places. Texts that none of them has are left out."""
    columns = {name: np.asarray(values)[rows] for name, values in chunk.columns.items()}
    texts: dict[str, Sequence[str]] = {}
    for name, words in chunk.texts.items():
        used, columns[name] = np.unique(columns[name], return_inverse=True)
        texts[name] = [words[place] for place in used]
    return dataclasses.replace(chunk, columns=columns, texts=texts)


def plain_table(table: pa.Table) -> pa.Table:
    """The same rows in one piece, names numbered as they come: equal rows are equal bytes, however they came about."""
    columns = []
    for item in table.schema:
        column = table[item.name]
        if pa.types.is_dictionary(item.type):
            column = column.cast(pa.string()).combine_chunks().dictionary_encode()
        else:
            column = column.combine_chunks()
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=table.schema)
