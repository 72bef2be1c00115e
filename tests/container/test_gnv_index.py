"""Random access, chained files, and an index that is never the truth."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise

import pytest

from gencodec.container import GroupRecord, Reader, seek
from gencodec.container.cursor import BytesCursor
from gencodec.container.fields import pack, parse
from gencodec.container.framing import pack_unit
from gencodec.container.layout import IndexItem, Trailer
from gencodec.errors import FormatError, SourceError


def entries_of(data: bytes) -> list[tuple[int, int, int, bool, bool]]:
    reader = Reader(BytesIO(data))
    return [(e.part, e.number, e.first_tick, e.cut, e.closed) for e in reader.index()]


@pytest.mark.parametrize("name", ["constant_file", "varied_file"])
def test_the_index_equals_a_scan(name: str, request: pytest.FixtureRequest) -> None:
    data: bytes = request.getfixturevalue(name)
    reader = Reader(BytesIO(data))
    assert reader.index() == Reader(BytesIO(data)).scan()
    assert reader.complete


def test_entries_say_what_the_groups_are(constant_file: bytes) -> None:
    assert entries_of(constant_file) == [
        (0, 0, 0, False, True),
        (0, 1, 5, False, False),
        (0, 2, 10, True, True),
        (0, 3, 15, False, True),
    ]


def test_groups_are_read_in_any_order_beside_a_running_iteration(
    varied_file: bytes, varied_groups: list[GroupRecord]
) -> None:
    reader = Reader(BytesIO(varied_file))
    running = reader.groups()
    first = next(running)
    entries = reader.index()
    assert [reader.read_group(entry) for entry in reversed(entries)] == varied_groups[::-1]
    assert [first, *running] == varied_groups
    assert reader.complete


def test_the_index_is_read_without_the_groups(constant_file: bytes) -> None:
    """Damage in the groups does not show in the index, only when they are read."""
    data = bytearray(constant_file)
    for entry in Reader(BytesIO(constant_file)).index():
        data[entry.offset + 30] ^= 1
    reader = Reader(BytesIO(bytes(data)))
    entries = reader.index()
    assert len(entries) == 4
    with pytest.raises(FormatError, match="group 3 is damaged"):
        reader.read_group(entries[3])


def test_a_file_inside_another_is_read_from_where_the_stream_stands(
    constant_file: bytes, constant_groups: list[GroupRecord]
) -> None:
    stream = BytesIO(b"before" + constant_file)
    stream.seek(6)
    reader = Reader(stream)
    entries = reader.index()
    assert [reader.read_group(entry) for entry in entries] == constant_groups
    assert list(reader.groups()) == constant_groups


def test_chained_files_play_one_after_the_other(
    constant_file: bytes,
    varied_file: bytes,
    constant_groups: list[GroupRecord],
    varied_groups: list[GroupRecord],
) -> None:
    data = constant_file + varied_file + constant_file
    reader = Reader(BytesIO(data))
    groups = list(reader.groups())
    assert groups == constant_groups + varied_groups + constant_groups
    assert [group.part for group in groups] == [0] * 4 + [1] * 3 + [2] * 4
    sizes = [0, len(constant_file), len(constant_file) + len(varied_file)]
    assert [part.offset for part in reader.parts] == sizes
    assert reader.parts[1].header != reader.header == reader.parts[2].header
    assert reader.complete

    fresh = Reader(BytesIO(data))
    entries = fresh.index()
    assert entries == Reader(BytesIO(data)).scan()
    assert [fresh.read_group(entry) for entry in entries] == groups
    assert [part.offset for part in fresh.parts] == sizes


def test_a_chain_with_a_cut_part_is_not_complete(constant_file: bytes) -> None:
    cut = constant_file[: constant_file.index(b"iNDX")]
    reader = Reader(BytesIO(cut + constant_file))
    assert len(list(reader.groups())) == 8
    assert not reader.complete
    assert len(Reader(BytesIO(cut + constant_file)).index()) == 8


@pytest.mark.parametrize("index", [True, False])
def test_a_file_without_a_usable_index_is_scanned(constant_file: bytes, index: bool) -> None:
    at = constant_file.index(b"iNDX")
    data = constant_file[:at]
    if index:  # damaged
        data = bytearray(constant_file)  # type: ignore[assignment]
        data[at + 6] ^= 1  # type: ignore[index]
    reader = Reader(BytesIO(bytes(data)), recover=index)
    assert len(reader.index()) == 4
    assert not reader.complete


def test_an_index_that_lies_is_found_out(constant_file: bytes) -> None:
    at = constant_file.index(b"iNDX")
    entries = Reader(BytesIO(constant_file)).index()
    spans = [b.offset - a.offset for a, b in pairwise(entries)]
    items = [IndexItem(span=span) for span in [*spans, at - entries[3].offset]]

    def lie(items: list[IndexItem], **more: int) -> Reader:
        index = pack_unit(b"iNDX", b"".join(map(pack, items)))
        totals = {"groups": 4, "frames": 20, "part_bytes": at + len(index), "digest": 0}
        totals |= {"index_bytes": len(index)} | more
        end = pack_unit(b"END!", pack(Trailer(**totals)))
        return Reader(BytesIO(constant_file[:at] + index + end))

    reader = lie(items)  # says that the last group has 5 frames and no group is a cut
    found = reader.index()
    assert reader.read_group(found[0]).number == 0
    with pytest.raises(FormatError, match="the index says group 2 of 5"):
        reader.read_group(found[2])
    with pytest.raises(FormatError, match="found group 3 of 3 frames"):
        reader.read_group(found[3])

    shifted = [IndexItem(span=items[0].span + 3), IndexItem(span=items[1].span - 3), *items[2:]]
    reader = lie(shifted)
    with pytest.raises(FormatError, match=r"no unit starts here|damaged|early"):
        reader.read_group(reader.index()[1])

    # Impossible ones are not used at all: the scan then meets the wrong totals.
    for impossible in (
        lie([IndexItem(span=2**59), *items[1:]]),
        lie(items, frames=19),
        lie(items, groups=5),
        lie(items, part_bytes=2**59),
        lie(items, index_bytes=2**20),
    ):
        with pytest.raises(FormatError, match=r"END! says|missing"):
            impossible.index()


def test_a_pipe_has_no_index(constant_file: bytes) -> None:
    class Pipe(BytesIO):
        def seekable(self) -> bool:
            return False

    reader = Reader(Pipe(constant_file))
    for ask in (reader.index, reader.scan):
        with pytest.raises(SourceError, match="cannot seek"):
            ask()
    assert len(list(reader.groups())) == 4


@pytest.mark.parametrize(("tick", "position"), [(-5, 0), (0, 0), (7, 0), (9, 0), (10, 2), (99, 3)])
def test_seeking_goes_back_to_a_closed_group(
    constant_file: bytes, tick: int, position: int
) -> None:
    assert seek(Reader(BytesIO(constant_file)).index(), tick) == position


def test_an_index_item_is_three_bytes_up_to_256_kib() -> None:
    item = IndexItem(cut=True, span=(1 << 18) - 1)
    assert len(pack(item)) == 3
    assert parse(IndexItem, BytesCursor(pack(item))) == item
