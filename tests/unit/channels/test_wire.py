"""Values as bytes and back: what travels, what is refused and how it says so, and what hostile bytes can do."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import json
import math
import os
import subprocess
import sys
import tracemalloc
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.channels import wire, wire_types
from pipelines.channels.wire import WireError, decode, encode
from pipelines.errors import RemoteError
from pipelines.types import FailedItem

ROOT = Path(__file__).parents[3]


def there_and_back(value):
    return decode(encode(value))


PLAIN = [
    None,
    True,
    False,
    0,
    -1,
    2**63,
    -(2**63) - 1,
    10**100,
    0.1,
    math.inf,
    1 + 2j,
    "",
    "007",
    "\ud800",
    b"\x00\xff",
    [],
    [1, [2, [3]]],
    (),
    (1, (2, [3, (4,)])),
    {},
    {"a": {1: (2,)}, (1, 2): None, b"k": 1.5},
    set(),
    {1, (2, 3)},
    frozenset({"a", frozenset({1})}),
    Decimal("1.10"),
    Decimal("-Infinity"),
    UUID(int=5),
    dt.date(1, 1, 1),
    dt.date.max,
    dt.time(1, 2, 3, 4, fold=1),
    dt.time(1, 2, tzinfo=dt.timezone(dt.timedelta(hours=-3))),
    dt.datetime(2024, 2, 29, 23, 59, 59, 999_999),
    dt.datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    dt.timedelta(days=-1, seconds=5, microseconds=6),
    dt.timedelta.min,
    FailedItem((1, "x"), "node", ValueError("bad", 3), 2),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_a_value_comes_back_equal_and_of_the_same_type(value):
    back = there_and_back(value)
    assert type(back) is type(value)
    if type(value) is FailedItem:
        assert (back.item, back.node, back.attempts) == (value.item, value.node, value.attempts)
        assert (type(back.error), back.error.args) == (type(value.error), value.error.args)
    else:
        assert (back, repr(back)) == (value, repr(value))


def test_a_time_zone_comes_back():
    moment = there_and_back(dt.datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1))
    assert (moment.tzinfo, moment.fold) == (ZoneInfo("Europe/Berlin"), 1)


def test_a_foreign_time_zone_becomes_an_offset():
    class Odd(dt.tzinfo):
        def utcoffset(self, when):
            return dt.timedelta(minutes=7)

        def dst(self, when):
            return None

        def tzname(self, when):
            return "odd"

    value = dt.datetime(2024, 1, 1, tzinfo=Odd())
    assert (there_and_back(value), there_and_back(value).utcoffset()) == (value, dt.timedelta(minutes=7))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(codec=None, exclude_categories=[]))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.times()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.timedeltas(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers(), st.text()), inner)
        | st.frozensets(st.integers() | st.text())
    ),
    max_leaves=20,
)


@given(VALUES)
def test_any_value_comes_back(value):
    assert repr(there_and_back(value)) == repr(value) or there_and_back(value) == value


class TestNumpy:
    @pytest.mark.parametrize(
        "array",
        [
            np.arange(6).reshape(2, 3),
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            np.arange(10)[::-2],
            np.zeros((0, 3), "f4"),
            np.array(7, "u1"),
            np.arange(3, dtype=">i4"),
            np.array([True, False]),
            np.array([1 + 2j]),
            np.array(["a", "bc", ""]),
            np.array(["", ""]),
            np.array([b"x", b""]),
            np.array(["2024-01-01", "NaT"], "M8[ns]"),
            np.array([5], "m8[15m]"),
            np.array([(1, [2.0, 3.0], (4,))], [("a", "<i4"), ("b", "<f8", (2,)), ("c", [("d", "u1")])]),
            np.array([(1,)], [(("title", "name"), "i4")]),
        ],
        ids=lambda array: f"{array.dtype}{array.shape}",
    )
    def test_an_array_comes_back(self, array):
        back = there_and_back(array)
        assert (type(back), back.dtype, back.shape) == (np.ndarray, array.dtype, array.shape)
        assert back.tobytes() == array.tobytes()

    def test_an_array_that_came_can_be_written_to(self):
        back = there_and_back(np.zeros(3))
        back[0] = 1
        assert back.tolist() == [1, 0, 0]

    @pytest.mark.parametrize(
        "scalar",
        [
            np.float64(1.5),
            np.float32(1.5),
            np.int8(-1),
            np.bool_(True),
            np.str_("é"),
            np.str_(""),
            np.bytes_(b"x"),
            np.datetime64("2024-01-01"),
            np.complex64(1j),
            np.array([(1, 2.0)], "i4,f8")[0],
        ],
        ids=repr,
    )
    def test_a_scalar_comes_back(self, scalar):
        back = there_and_back(scalar)
        assert (type(back), back.dtype, back) == (type(scalar), scalar.dtype, scalar)

    @pytest.mark.parametrize(
        ("array", "why"),
        [
            (np.array([object()]), "holds Python objects"),
            (np.zeros(2, [("a", "i4"), ("o", object)]), "holds Python objects"),
            (np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)), "cannot be told by name"),
            (np.ma.array([1]), "send plain data"),
        ],
        ids=["object", "field", "aligned", "masked"],
    )
    def test_an_array_that_cannot_travel_is_refused(self, array, why):
        with pytest.raises(WireError, match=why):
            encode([array])


class TestArrow:
    table = pa.table(
        {
            "a": [1, None],
            "s": pa.array(["x", "y"]).dictionary_encode(),
            "l": [[1, 2], []],
            "t": pa.array([0, 1], pa.timestamp("us", "UTC")),
        }
    )

    def test_a_table_comes_back(self):
        both = pa.concat_tables([self.table, self.table])
        for table in (self.table, both, self.table.slice(1), self.table.schema.empty_table()):
            back = there_and_back(table)
            assert (type(back), back.schema, back) == (pa.Table, table.schema, table)

    def test_a_record_batch_comes_back(self):
        [batch] = self.table.to_batches()
        for each in (batch, batch.slice(0, 0)):
            back = there_and_back(each)
            assert type(back) is pa.RecordBatch
            assert back.equals(each)

    @pytest.mark.parametrize("columns", [{"a": [1, 2, 3]}, {"s": pa.array(["x", "y"] * 50).dictionary_encode()}])
    def test_compressed_data_is_refused(self, columns):
        table = pa.table(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write(table)
        with pytest.raises(WireError, match="compressed Arrow data"):
            decode(msgpack.packb(msgpack.ExtType(wire_types.TABLE, sink.getvalue().to_pybytes())))

    def test_offsets_that_point_outside_are_refused(self):
        data = encode(pa.table({"s": ["abc", "de"]}))
        offsets = data.index(np.array([0, 3, 5], "<i4").tobytes())
        broken = data[: offsets + 4] + (1 << 30).to_bytes(4, "little") + data[offsets + 8 :]
        with pytest.raises(WireError):
            decode(broken)


class Model:
    def __repr__(self):
        return "Model()"


class Level(enum.IntEnum):
    LOW = 1


Point = collections.namedtuple("Point", "x y")


class TestRefusals:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (Model(), "a Model cannot travel to another host; send plain data"),
            ([1, 2, {"model": Model()}], r"^\[2\]\['model'\]: a Model cannot travel"),
            ({Model(): 1}, r"^\[key Model\(\)\]: a Model cannot travel"),
            ({"s": {1, Fraction(1, 2)}}, r"^\['s'\]\[Fraction\(1, 2\)\]: a Fraction cannot travel"),
            ((0, Level.LOW), r"^\[1\]: a Level cannot travel to another host; send a plain int instead"),
            ([Point(1, 2)], r"^\[0\]: a Point cannot travel to another host; send a plain tuple instead"),
            (collections.OrderedDict(), "a OrderedDict cannot travel to another host; send a plain dict instead"),
            (FailedItem([Model()], "n", ValueError()), r"^\.item\[0\]: a Model cannot travel"),
            (print, "a builtin_function_or_method cannot travel"),
            (ValueError("x"), "a ValueError cannot travel"),
        ],
    )
    def test_a_refusal_says_what_and_where(self, value, message):
        with pytest.raises(WireError, match=message):
            encode(value)

    @pytest.mark.parametrize(
        "make",
        [lambda inner: [inner], lambda inner: (inner,), lambda inner: {"k": inner}],
        ids=["list", "tuple", "dict"],
    )
    def test_what_is_nested_too_deeply_is_refused(self, make):
        value = 0
        for _ in range(1100):
            value = make(value)
        with pytest.raises(WireError, match="nested too deeply, or contains itself"):
            encode(value)

    def test_however_it_is_nested_the_stack_does_not_overflow(self):
        value: Any = 0
        for _ in range(31):
            for _ in range(1000):
                value = [value]
            value = (value,)
        with pytest.raises(WireError, match="nested too deeply, or contains itself"):
            encode(value)
        value = 0
        for _ in range(30):
            value = ([[[value]]],)
        assert there_and_back(value) == value

    def test_what_contains_itself_is_refused(self):
        mixed: list = []
        mixed.append((mixed,))
        plain: list = []
        plain.append(plain)
        for value in (mixed, plain):
            with pytest.raises(WireError, match="contains itself"):
                encode(value)

    def test_after_a_refusal_all_is_as_before(self):
        for value in ([Model()], ((Model(),),)):
            with pytest.raises(WireError):
                encode(value)
            assert there_and_back((1, (2,))) == (1, (2,))


class TestFailedItem:
    def test_an_error_that_is_not_built_in_becomes_one_that_shows_it(self):
        class OwnError(Exception):
            pass

        back = there_and_back(FailedItem(1, "n", OwnError("what", "why")))
        assert type(back.error) is RemoteError
        assert str(back.error).endswith("OwnError: ('what', 'why')")
        again = there_and_back(back)
        assert (str(again.error), again.error.kind) == (str(back.error), back.error.kind)

    @pytest.mark.parametrize(
        "error", [SystemExit(1), KeyboardInterrupt(), ValueError(Model()), ExceptionGroup("g", [ValueError()])]
    )
    def test_an_error_that_would_end_the_program_or_holds_objects_is_only_shown(self, error):
        back = there_and_back(FailedItem(1, "n", error)).error
        assert (type(back), back.kind) == (RemoteError, type(error).__name__)

    def test_names_from_bytes_are_looked_up_among_built_in_exceptions_alone(self):
        for name in ("print", "SystemExit", "os.system", "object", "BaseException", "__import__"):
            content = msgpack.packb([1, "n", 1, name, ["touch /tmp/x"], "text"])
            back = decode(msgpack.packb(msgpack.ExtType(wire_types.FAILED_ITEM, content)))
            assert type(back.error) is RemoteError


def ext(code, content):
    return msgpack.packb(msgpack.ExtType(code, content if isinstance(content, bytes) else msgpack.packb(content)))


CHANGED = (*PLAIN, np.arange(5), np.zeros(2, "i4,f8"), np.str_("x"), TestArrow.table)


class TestHostileBytes:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xc1",
            b"\x93\x01",
            msgpack.packb(1) + b"\x00",
            b"\xdd\xff\xff\xff\xff",
            b"\xdf\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            b"\x81\x90\x01",
            ext(100, b""),
            ext(wire_types.TUPLE, 5),
            ext(wire_types.SET, [[]]),
            ext(wire_types.UUID_, b"x"),
            ext(wire_types.DECIMAL, b"one"),
            ext(wire_types.DATE, b"\xff" * 4),
            ext(wire_types.DATETIME, [1, 1, 1, 0, 0, 0, 0, 0, "../../../etc/passwd"]),
            ext(wire_types.DATETIME, [1]),
            ext(wire_types.TIMEDELTA, b"\xff\xff\xff\x7f" * 3),
            ext(wire_types.FAILED_ITEM, [1, 2, 3]),
            ext(wire_types.FAILED_ITEM, [1, None, 3, "ValueError", [], ""]),
            ext(wire_types.ARRAY, ["|O", [1], b"12345678"]),
            ext(wire_types.ARRAY, ["O8", [1], b"12345678"]),
            ext(wire_types.ARRAY, ["i4,i4", [1], b"12345678"]),
            ext(wire_types.ARRAY, ["<i4", [-1], b"1234"]),
            ext(wire_types.ARRAY, ["<i4", [2], b"1234"]),
            ext(wire_types.ARRAY, ["<i4", [True], b"1234"]),
            ext(wire_types.ARRAY, ["<U0", [1 << 50], b""]),
            ext(wire_types.ARRAY, ["<i4", [0, 1 << 60, 1 << 60], b""]),
            ext(wire_types.ARRAY, [[["a", "<i4", [1 << 40]]], [1], b""]),
            ext(wire_types.ARRAY, [[["a", "O"]], [1], b"12345678"]),
            ext(wire_types.ARRAY, ["<i4", [1] * 65, b"1234"]),
            ext(wire_types.SCALAR, ["<i4", b"1"]),
            ext(wire_types.TABLE, b"nonsense"),
            ext(wire_types.TABLE, b"\xff" * 100),
        ],
    )
    def test_bytes_that_are_no_value_are_refused(self, data):
        with pytest.raises(WireError):
            decode(data)

    def test_memory_stays_in_proportion(self):
        """A list that claims a million items in each of a thousand levels would take gigabytes."""
        for header in (b"\xdd\x00\x0f\x00\x00", b"\xdf\x00\x07\x00\x00"):
            data = header * 200_000
            tracemalloc.start()
            try:
                with pytest.raises(WireError):
                    decode(data)
                assert tracemalloc.get_traced_memory()[1] < 20 * len(data)
            finally:
                tracemalloc.stop()

    def test_values_in_values_end_somewhere(self):
        data = msgpack.packb(1)
        for _ in range(2000):
            data = ext(wire_types.TUPLE, data)
        with pytest.raises(WireError):
            decode(data)

    @given(st.sampled_from([encode(value) for value in CHANGED]), st.data())
    def test_a_value_with_some_bytes_changed_is_a_value_or_refused(self, seed, data):
        changed = bytearray(seed)
        for _ in range(data.draw(st.integers(1, 4))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.sampled_from([0, 1, 127, 128, 255]))
        try:
            value = decode(bytes(changed))
        except WireError:
            return
        assert value is None or type(value).__module__ in {
            *("builtins", "datetime", "decimal", "uuid", "numpy", "pyarrow.lib", "pipelines.types", "msgpack.ext"),
        }

    @given(st.binary(max_size=200))
    def test_any_bytes_are_a_value_or_refused(self, data):
        try:
            decode(data)
        except WireError:
            return


def in_new_process(code: str) -> Any:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_nothing_is_loaded_that_no_value_needs():
    loaded = in_new_process(
        "import sys, json\nfrom pipelines.channels.wire import decode, encode\n"
        "decode(encode([1, (2,), {'a': 1j}]))\n"
        "print(json.dumps(sorted({'numpy', 'pyarrow', 'pickle'} & set(sys.modules))))"
    )
    assert "numpy" not in loaded
    assert "pyarrow" not in loaded


def test_a_library_that_a_value_needs_and_that_is_not_there_is_named():
    message = in_new_process(
        "import sys, json\nsys.modules['numpy'] = None\nfrom pipelines.channels.wire import WireError, decode\n"
        f"try: decode({encode(np.arange(3))!r})\nexcept WireError as error: print(json.dumps(str(error)))"
    )
    assert "numpy" in message
    assert "pip install" in message


@pytest.mark.parametrize("module", ["wire", "redis"])
def test_without_the_extra_the_command_that_installs_it_is_named(module):
    message = in_new_process(
        "import sys, json\nsys.modules['msgpack'] = sys.modules['redis'] = None\n"
        f"try: import pipelines.channels.{module}\nexcept ImportError as error: print(json.dumps(str(error)))"
    )
    assert "pip install 'asyncio-pipelines[redis]'" in message


def test_words_for_redis_are_the_same_as_bytes_or_text():
    assert wire.pack(["a", b"a" * 40]) == wire.pack([b"a", "a" * 40])
    assert wire.unpack(wire.pack([1, "ä", [b"\xff", None, True]])) == [1, "ä".encode(), [b"\xff", None, True]]
