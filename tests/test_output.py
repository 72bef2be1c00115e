"""Files and folders appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import pytest

from gencodec.errors import OutputError
from gencodec.output import atomic_output


def write_file(
    path: str | Path, data: bytes = b"new", *, overwrite: bool = False, inputs: Iterable[Path] = ()
) -> None:
    with atomic_output(path, overwrite=overwrite, inputs=inputs) as work:
        work.write_bytes(data)


def write_folder(
    path: str | Path, names: Iterable[str] = ("frame_000001.png",), *, overwrite: bool = False
) -> None:
    with atomic_output(path, overwrite=overwrite) as work:
        work.mkdir()
        for name in names:
            (work / name).write_bytes(b"new")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_file_appears_only_at_the_end_and_keeps_its_suffix(tmp_path: Path) -> None:
    target = tmp_path / "out.tar.mp4"
    with atomic_output(target, overwrite=False) as work:
        work.write_bytes(b"new")
        assert work.name == target.name
        assert work.stat().st_dev == tmp_path.stat().st_dev
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["out.tar.mp4"]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_nothing(tmp_path: Path, kind: type[BaseException]) -> None:
    target = tmp_path / "out.gnv"

    def fail() -> None:
        with atomic_output(target, overwrite=False) as work:
            work.write_bytes(b"half")
            raise kind

    with pytest.raises(kind):
        fail()
    assert names(tmp_path) == []


def test_an_exception_leaves_no_folder_and_the_old_file_untouched(tmp_path: Path) -> None:
    target = tmp_path / "frames"
    write_folder(target)

    def fail() -> None:
        with atomic_output(target, overwrite=True) as work:
            work.mkdir()
            (work / "a.png").write_bytes(b"half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert names(tmp_path) == ["frames"]
    assert names(target) == ["frame_000001.png"]


def test_an_existing_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists; pass -y"):
        write_file(target)
    assert target.read_bytes() == b"old"
    write_file(target, overwrite=True)
    assert target.read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"

    def race() -> None:
        with atomic_output(target, overwrite=False) as work:
            work.write_bytes(b"new")
            target.write_bytes(b"somebody's")

    with pytest.raises(OutputError, match="exists"):
        race()
    assert target.read_bytes() == b"somebody's"


def test_a_missing_parent_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no/such does not exist; create it first"):
        write_file(tmp_path / "no" / "such" / "out.mp4")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="is not a folder"):
        write_file(tmp_path / "file" / "out.mp4")


def test_the_output_may_not_be_an_input(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(b"precious")
    soft, hard = tmp_path / "soft.mp4", tmp_path / "hard.mp4"
    soft.symlink_to(source)
    hard.hardlink_to(source)
    dotted = tmp_path / "x" / ".." / "in.mp4"
    (tmp_path / "x").mkdir()
    for target in (source, soft, hard, dotted):
        with pytest.raises(OutputError, match="both input and output"):
            write_file(target, overwrite=True, inputs=[Path("missing"), source])
    with pytest.raises(OutputError, match="both input and output"):
        write_file(source, overwrite=True, inputs=[soft])
    assert source.read_bytes() == b"precious"


def test_an_input_in_the_output_folder_is_safe(tmp_path: Path) -> None:
    source = tmp_path / "frames" / "in.png"
    source.parent.mkdir()
    source.write_bytes(b"precious")
    with (
        pytest.raises(OutputError, match="lies in the output folder"),
        atomic_output(source.parent, overwrite=True, inputs=[source]),
    ):
        pass
    assert source.exists()


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "frames"
    with atomic_output(f"{target}/", overwrite=False) as work:
        work.mkdir()
        (work / "frame_000001.png").write_bytes(b"1")
        assert not target.exists()
    assert names(target) == ["frame_000001.png"]
    assert names(tmp_path) == ["frames"]


def test_a_folder_is_replaced_only_when_asked_and_only_if_it_holds_pictures(
    tmp_path: Path,
) -> None:
    target = tmp_path / "frames"
    target.mkdir()
    write_folder(target, ["a.png", "b.png"])  # it was empty
    with pytest.raises(OutputError, match="not empty; pass -y"):
        write_folder(target)
    write_folder(target, ["c.png"], overwrite=True)
    assert names(target) == ["c.png"]
    (target / "thesis.tex").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"holds thesis\.tex"):
        write_folder(target, overwrite=True)
    assert names(target) == ["c.png", "thesis.tex"]
    assert names(tmp_path) == ["frames"]


def test_a_file_does_not_replace_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(OutputError, match="is a folder; name a file"):
        write_file(tmp_path / "out.mp4", overwrite=True)
    (tmp_path / "plain").mkdir()
    with pytest.raises(OutputError, match="is a folder; name a file"):
        write_file(tmp_path / "plain", overwrite=True)
    assert names(tmp_path) == ["out.mp4", "plain"]


def test_a_folder_replaces_a_file_when_asked(tmp_path: Path) -> None:
    (tmp_path / "frames").write_bytes(b"old")
    with pytest.raises(OutputError, match="exists"):
        write_folder(tmp_path / "frames")
    write_folder(tmp_path / "frames", overwrite=True)
    assert names(tmp_path / "frames") == ["frame_000001.png"]
    assert names(tmp_path) == ["frames"]


def test_a_link_keeps_pointing_at_the_file_behind_it(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    link = tmp_path / "link.mp4"
    link.symlink_to(tmp_path / "store" / "real.mp4")
    write_file(link)
    assert link.is_symlink()
    assert (tmp_path / "store" / "real.mp4").read_bytes() == b"new"
    with pytest.raises(OutputError, match="exists"):
        write_file(link)


def test_a_device_is_written_itself() -> None:
    with atomic_output("/dev/null", overwrite=False) as work:
        assert work == Path("/dev/null")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "out.mp4")
        write_folder(tmp_path / "frames")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.mp4").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "frames").stat().st_mode) == 0o750


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="nothing was written"),
        atomic_output(tmp_path / "out.mp4", overwrite=False),
    ):
        pass
    assert names(tmp_path) == []


def test_no_permission_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("gencodec.output.tempfile.mkdtemp", refuse)
    with pytest.raises(OutputError, match=r"Permission denied; check the permissions of"):
        write_file(tmp_path / "out.mp4")


def test_a_full_disk_says_what_to_do(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_output(tmp_path / "out.mp4", overwrite=False) as work:
            work.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match="No space left on device; free space"):
        fill()
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_at_the_last_moment_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("gencodec.output.os.fsync", fail)
    with pytest.raises(OutputError, match="No space left"):
        write_file(tmp_path / "out.mp4")
    assert names(tmp_path) == []


def test_a_failed_rename_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "frames"
    write_folder(target, ["old.png"])

    def fail(self: Path, to: Path) -> Path:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(self), None, str(to))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        write_folder(target, overwrite=True)
    assert names(target) == ["old.png"]
    assert names(tmp_path) == ["frames"]


def test_errors_of_others_pass_through(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_output(tmp_path / "out.mp4", overwrite=False):
            raise FileNotFoundError(errno.ENOENT, "gone", "/in.mp4")

    with pytest.raises(FileNotFoundError):
        fail()
    with (
        pytest.raises(OutputError, match="cannot write"),
        atomic_output(tmp_path / "out.mp4", overwrite=False) as work,
    ):
        work.joinpath("not-there", "x").write_bytes(b"")
