"""read.py duckdb VIEW QUERY | pyarrow FOLDER: print an archive's rows as lines of JSON.

duckdb runs the statement VIEW, then QUERY; pyarrow reads FOLDER as a data set and prints all of it.
"""

import json
import sys


def plain(value):
    """A value as JSON has it: bytes as hexadecimal digits, times as microseconds since 1970."""
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if hasattr(value, "timestamp"):
        return round(value.timestamp() * 1_000_000)
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def duckdb(view, query):
    import duckdb

    db = duckdb.connect()
    db.execute("set timezone = 'UTC'")
    db.execute(view)
    result = db.execute(query)
    names = [column[0] for column in result.description]
    for row in result.fetchall():
        yield dict(zip(names, row))


def pyarrow(folder):
    import pyarrow
    import pyarrow.dataset

    found = pyarrow.dataset.dataset(folder, format="parquet", partitioning="hive")
    # Columns come and go: a data set has those of its first object, unless it is told.
    all = pyarrow.unify_schemas([found.schema, *(f.physical_schema for f in found.get_fragments())])
    table = pyarrow.dataset.dataset(folder, schema=all, format="parquet", partitioning="hive").to_table()
    yield from table.sort_by([("kafka_partition", "ascending"), ("kafka_offset", "ascending")]).to_pylist()


for row in {"duckdb": duckdb, "pyarrow": pyarrow}[sys.argv[1]](*sys.argv[2:]):
    print(json.dumps({name: plain(value) for name, value in row.items()}))
