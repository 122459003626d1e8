"""Bytes that no honest writer leaves: mutations of honest ones, and documents that hypothesis makes up around an honest one."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

TOKENS: Final = (
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b'"',
    b"'",
    b",",
    b"=",
    b"[",
    b"]]",
    b"{",
    b"#",
    b"NaN",
    b"-inf",
    b"1e999",
    b"../",
    b"'=",
    b"true",
    b"null",
    b"9" * 400,
    b"\xe2\x80\xae",
    b"\xef\xbb\xbf",
    b"<!--",
    b"```",
    b"2020-02-30",
    b"\xd0\xb0",
)
REPEATS: Final = (2, 50, 5000)
LONGEST_REPEAT_BYTES: Final = 1 << 20


def mutate(data: bytes, generator: random.Random) -> bytes:
    """Some other bytes, near or far."""
    place, end = sorted(generator.randrange(len(data) + 1) for _ in range(2))
    kind = generator.randrange(9)
    if kind == 0:
        return data[:place]
    if kind == 1:
        return data[:place] + data[end:]
    if kind == 2:
        return data[:end] + data[place:]
    if kind == 3:
        return generator.randbytes(generator.randrange(2000))
    if kind == 4:
        return data[:place] + generator.choice(TOKENS) + data[place:]
    if kind == 5 and data:
        return data[: place - 1] + bytes([generator.randrange(256)]) + data[place:]
    if kind == 6 and data:
        return data[: place - 1] + bytes([data[place - 1] ^ 1 << generator.randrange(8)]) + data[place:]
    if kind == 7 and generator.randrange(20) == 0:
        piece = data[place:end] or generator.choice(TOKENS)
        repeats = min(generator.choice(REPEATS), 1 + LONGEST_REPEAT_BYTES // len(piece))
        return data[:place] + (piece * repeats)[:LONGEST_REPEAT_BYTES] + data[end:]
    return data[:place] + generator.choice(TOKENS) + data[end:]


_TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ("", "NaN", "../../x", "=cmd()", "a\nb", "\x00", "2020-02-30", "sha256:" + "0" * 64, "s3", "x" * 5000)
    ),
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from((0, -1, 2**63, 2**64, 10**400)),
    st.floats(),
    _TEXTS,
)
VALUES: Final = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXTS, inner, max_size=4)),
    max_leaves=8,
)
"""Whatever a document can hold, NaN and numbers beyond every range included."""


def _places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every member of a document but the document itself."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, member in members for path in ((*above, key), *_places(member, (*above, key)))]


def documents(honest: Any, spell: Callable[[Any], str]) -> st.SearchStrategy[bytes]:
    """An honest document with up to three members replaced, removed, renamed or added; sometimes something else altogether."""
    places = _places(honest)

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        if draw(st.integers(0, 30)) == 0:
            return spell(draw(VALUES)).encode(errors="surrogatepass")
        document = copy.deepcopy(honest)
        for _ in range(draw(st.integers(1, 3))):
            _change(document, draw(st.sampled_from(places)), draw)
        return spell(document).encode(errors="surrogatepass")

    return changed()


def _change(document: Any, place: tuple[Any, ...], draw: st.DrawFn) -> None:
    holder = document
    for key in place[:-1]:
        try:
            holder = holder[key]
        except (KeyError, IndexError, TypeError):
            return
    last = place[-1]
    if isinstance(holder, list) and not (isinstance(last, int) and last < len(holder)):
        return
    if not isinstance(holder, dict | list):
        return
    what = draw(st.integers(0, 5))
    if what == 0 and (isinstance(holder, list) or last in holder):
        del holder[last]
    elif what == 1 and isinstance(holder, dict):
        holder[draw(_TEXTS)] = draw(VALUES)
    else:
        holder[last] = draw(VALUES)


def json_text(value: Any) -> str:
    """A document as a JSON file of record is spelled, NaN and Infinity as Python spells them."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def toml_text(value: Any) -> str:
    """A document as TOML of inline tables; null, which TOML lacks, as an empty text."""
    if not isinstance(value, dict):
        return _inline(value)
    return "".join(f"{_quoted(str(key))} = {_inline(member)}\n" for key, member in value.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        members = ", ".join(f"{_quoted(str(key))} = {_inline(member)}" for key, member in value.items())
        return f"{{{members}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else _quoted("" if value is None else str(value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def lines_around(honest: str, separator: str = "\n") -> st.SearchStrategy[bytes]:
    """An honest text with some of its lines replaced, repeated, dropped or in another order."""
    lines = honest.split(separator)
    line = st.one_of(st.sampled_from(lines), st.sampled_from(lines), _TEXTS)
    cells = st.lists(st.one_of(st.sampled_from([cell for text in lines for cell in text.split(",")]), _TEXTS))
    chosen = st.lists(st.one_of(line, cells.map(",".join)), max_size=len(lines) + 3)
    return chosen.map(lambda texts: separator.join(texts).encode(errors="surrogatepass"))


_CELLS = st.one_of(
    st.sampled_from(
        ("AAA", "BBB", "2020-01-02", "2020-01-03", "20200106", "1.5", "0", "-1", "nan", "inf", "1e400", "")
    ),
    st.text(max_size=12),
)


def price_tables(columns: tuple[str, ...], rows: int = 12) -> st.SearchStrategy[bytes]:
    """A csv with (mostly) the right header and cells of any kind."""
    header = st.one_of(st.just(",".join(columns)), st.lists(st.sampled_from(columns), max_size=9).map(",".join))
    body = st.lists(st.lists(_CELLS, min_size=6, max_size=8).map(",".join), max_size=rows)
    return st.builds(lambda first, rest: "\n".join((first, *rest)).encode(errors="surrogatepass"), header, body)


_KINDS: Final = (
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.float64(),
    pa.float16(),
    pa.int64(),
    pa.uint64(),
    pa.bool_(),
    pa.null(),
    pa.date32(),
    pa.date64(),
    pa.timestamp("ns"),
    pa.timestamp("us", "America/New_York"),
    pa.timestamp("s", "UTC"),
    pa.time64("us"),
    pa.duration("s"),
    pa.decimal128(20, 4),
    pa.list_(pa.float64()),
    pa.struct([("x", pa.int64())]),
    pa.dictionary(pa.int32(), pa.string()),
    pa.map_(pa.string(), pa.int64()),
)


def parquet_files(columns: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """A parquet file whose columns have any types and values, sometimes absent or twice."""

    @st.composite
    def tables(draw: st.DrawFn) -> bytes:
        names = draw(st.one_of(st.just(list(columns)), st.lists(st.sampled_from(columns), min_size=1, max_size=9)))
        count = draw(st.integers(0, 6))
        arrays = [_array(draw, name, count) for name in names]
        return _parquet_bytes(pa.table(arrays, names=names), draw(st.sampled_from(("snappy", "none", "zstd"))))

    return tables()


def _parquet_bytes(table: pa.Table, compression: str) -> bytes:
    """The file of a table; columns that parquet cannot hold (seconds beyond its range) without a value."""
    buffer = BytesIO()
    try:
        pq.write_table(table, buffer, compression=compression)
    except pa.ArrowException:
        empty = [pa.nulls(table.num_rows, field.type) for field in table.schema]
        pq.write_table(pa.table(empty, schema=table.schema), buffer := BytesIO(), compression=compression)
    return buffer.getvalue()


def _array(draw: st.DrawFn, name: str, count: int) -> pa.Array:
    if draw(st.booleans()):
        honest = {"date": ["2020-01-02", "2020-01-03"], "symbol": ["AAA", "BBB"]}.get(name, [10.0, 11.5])
        return pa.array([draw(st.sampled_from(honest)) for _ in range(count)])
    kind = draw(st.sampled_from(_KINDS))
    raw = [draw(st.one_of(st.none(), st.integers(-(2**62), 2**62))) for _ in range(count)]
    try:
        return pa.array(raw, pa.int64()).cast(kind)
    except pa.ArrowException:
        if pa.types.is_float16(kind):
            return pa.array([None] * count, pa.float64())
        return pa.array([None] * count, kind)
