# /// script
# requires-python = ">=3.11"
# dependencies = ["pyarrow==26.0.1", "rfc8785==0.1.4"]
# ///
"""Makes the golden files of this folder: run `python make.py` beside it.

types.parquet   every type that sources may have, written by pyarrow
types.json      the records that it must be read as
digest.json     rows and records, with the digests that RFC 8785 and SHA-256 give by Python
"""

import hashlib
import json
from datetime import date, datetime, time, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import rfc8785

HERE = Path(__file__).parent


def parquet() -> None:
    utc = datetime(2026, 1, 31, 13, 5, 9, 250000, tzinfo=timezone.utc)
    local = datetime(1969, 12, 31, 23, 59, 59, 999000)
    columns = {
        "text": (pa.string(), ["kettle", "", None], ["kettle", "", None]),
        "large": (pa.large_string(), ["é😀", "{{ x }}", "a"], ["é😀", "{{ x }}", "a"]),
        "dictionary": (pa.dictionary(pa.int32(), pa.string()), ["a", "b", "a"], ["a", "b", "a"]),
        "flag": (pa.bool_(), [True, False, None], [True, False, None]),
        "int8": (pa.int8(), [-128, 127, None], [-128, 127, None]),
        "uint16": (pa.uint16(), [0, 65535, None], [0, 65535, None]),
        "uint32": (pa.uint32(), [0, 4294967295, None], [0, 4294967295, None]),
        "int64": (pa.int64(), [-(2**53), 2**53, None], [-(2**53), 2**53, None]),
        "uint64": (pa.uint64(), [0, 2**53, None], [0, 2**53, None]),
        "half": (pa.float16(), [1.5, -0.25, None], [1.5, -0.25, None]),
        "float": (pa.float32(), [0.1, 3.0, None], [0.1, 3.0, None]),
        "double": (pa.float64(), [0.1 + 0.2, float("nan"), 1e300], [0.1 + 0.2, None, 1e300]),
        "decimal": (pa.decimal128(9, 2), [Decimal("12.50"), Decimal("-0.05"), None], ["12.50", "-0.05", None]),
        "whole": (pa.decimal128(20, 0), [Decimal(12), Decimal(-7), None], ["12", "-7", None]),
        "date": (pa.date32(), [date(2026, 1, 31), date(1969, 12, 31), None], ["2026-01-31", "1969-12-31", None]),
        "time_ms": (pa.time32("ms"), [time(13, 5, 9, 250000), time(0), None], ["13:05:09.25", "00:00:00", None]),
        "time_us": (pa.time64("us"), [time(13, 5, 9, 1), time(0), None], ["13:05:09.000001", "00:00:00", None]),
        "time_ns": (pa.time64("ns"), [time(13, 5, 9, 1), time(0), None], ["13:05:09.000001", "00:00:00", None]),
        "at_ms": (pa.timestamp("ms", "UTC"), [utc, None, None], ["2026-01-31T13:05:09.25Z", None, None]),
        "at_ns": (pa.timestamp("ns", "UTC"), [utc, None, None], ["2026-01-31T13:05:09.25Z", None, None]),
        "local_us": (pa.timestamp("us"), [local, None, None], ["1969-12-31T23:59:59.999", None, None]),
        "local_ns": (pa.timestamp("ns"), [local, None, None], ["1969-12-31T23:59:59.999", None, None]),
        "binary": (pa.binary(), [b"plain", b"", None], ["plain", "", None]),
        "list": (pa.list_(pa.int32()), [[1, None, 3], [], None], [[1, None, 3], [], None]),
        "times": (pa.list_(pa.timestamp("us")), [[local], [], None], [["1969-12-31T23:59:59.999"], [], None]),
        "struct": (
            pa.struct([("cm", pa.int32()), ("at", pa.timestamp("ns"))]),
            [{"cm": 20, "at": local}, {"cm": None, "at": None}, None],
            [{"cm": 20, "at": "1969-12-31T23:59:59.999"}, {"cm": None, "at": None}, None],
        ),
        "structs": (
            pa.list_(pa.struct([("role", pa.string())])),
            [[{"role": "user"}, {"role": None}], [], None],
            [[{"role": "user"}, {"role": None}], [], None],
        ),
        "map": (pa.map_(pa.string(), pa.int64()), [[("a", 1), ("b", None)], [], None], [{"a": 1, "b": None}, {}, None]),
    }
    table = pa.table({name: pa.array(values, type=kind) for name, (kind, values, _) in columns.items()})
    # Two row groups.
    pq.write_table(table, HERE / "types.parquet", row_group_size=2, compression="zstd")
    expect = [{name: column[2][row] for name, column in columns.items()} for row in range(3)]
    write("types.json", expect)


def digest(values: list) -> str:
    hasher = hashlib.sha256()
    for value in values:
        hasher.update(rfc8785.dumps(value) + b"\n")
    return hasher.hexdigest()


def digests() -> None:
    records = [
        {"product": "kettle", "größe": "é😀\u2028\x7f", "n": 1, "x": 1.0, "small": 1e-7, "large": 1e21, "y": 0.1 + 0.2},
        {"\u20ac": 1, "\r": 2, "1": 3, "\U0001f600": 4, "\u0080": 5, "\ufb33": 6, "nested": {"b": [None, True, {}], "a": -0.0}},
        {},
    ]
    rows = [
        {
            "id": f"{record}-{sample}",
            "fields": fields,
            "attributes": {"tone": ["angry", "calm"][sample]},
            "columns": {"ticket": f"It broke.\nNumber {sample}\t\"\\", "subject": "[angry]"},
            "finishReasons": {"ticket": ["stop", "length"][sample]},
        }
        for record, fields in enumerate(records)
        for sample in range(2)
    ]
    write("digest.json", {
        "records": records,
        "sourceDigest": digest(records),
        "sourceDigestOfTwo": digest(records[:2]),
        "rows": rows,
        "datasetDigest": digest(rows),
    })


def write(name: str, value: object) -> None:
    (HERE / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parquet()
    digests()
