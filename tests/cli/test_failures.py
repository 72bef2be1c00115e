from __future__ import annotations

import errno
import inspect
from typing import TYPE_CHECKING

import pytest

from gencodec import errors
from gencodec.container.framing import BodyError
from gencodec.errors import FormatError, GencodecError, OutputError, SourceError

if TYPE_CHECKING:
    from tests.cli.conftest import Gencodec, Library

EXIT_CODES = {
    "GencodecError": 1,
    "UsageError": 2,
    "SourceError": 3,
    "LimitError": 3,
    "OutputError": 4,
    "PackError": 5,
    "FormatError": 6,
    "UnsupportedError": 6,
    "TruncatedError": 7,
    "IncompleteError": 7,
    "TargetError": 8,
    "ExecutionError": 9,
}


def _wrapped(error: GencodecError, cause: BaseException) -> GencodecError:
    error.__cause__ = cause
    return error


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


def test_the_list_of_errors_is_whole() -> None:
    found = {
        name
        for name, item in vars(errors).items()
        if inspect.isclass(item) and issubclass(item, GencodecError)
    }
    assert found == set(EXIT_CODES)


@pytest.mark.parametrize("name", EXIT_CODES)
def test_every_error_of_the_library_has_its_exit_code(
    gencodec: Gencodec, library: Library, name: str
) -> None:
    library.error = getattr(errors, name)("in.gnv is not right")

    outcome = gencodec("verify", "in.gnv")

    assert outcome.exit_code == EXIT_CODES[name]
    label = "warning" if name in ("IncompleteError", "TargetError") else "error"
    assert outcome.stderr == f"{label}: in.gnv is not right\n"
    assert outcome.stdout == b""


@pytest.mark.parametrize(
    ("error", "exit_code", "words"),
    [
        (MemoryError(), 9, "error: out of memory"),
        (OutOfMemoryError("CUDA out of memory"), 9, "error: out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), 4, "No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (RuntimeError("tensors\nof size"), 1, "error: unexpected RuntimeError: tensors of size\n"),
        (OSError(errno.EIO, "I/O error"), 1, "unexpected OSError"),
        (AssertionError(), 1, "error: unexpected AssertionError\n"),
        (SystemExit(3), 3, ""),
    ],
)
def test_foreign_errors_are_one_line_and_no_traceback(
    gencodec: Gencodec, library: Library, error: BaseException, exit_code: int, words: str
) -> None:
    library.error = error
    outcome = gencodec("verify", "in.gnv")
    assert outcome.exit_code == exit_code
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert ("please report" in outcome.stderr) == (exit_code == 1)


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        _wrapped(OutputError("cannot write"), BrokenPipeError(errno.EPIPE, "Broken pipe")),
    ],
)
def test_a_reader_that_has_enough_is_no_failure(
    gencodec: Gencodec, library: Library, error: BaseException
) -> None:
    library.error = error
    outcome = gencodec("verify", "in.gnv")
    assert (outcome.exit_code, outcome.stderr) == (0, "")


@pytest.mark.parametrize("how", ["option", "group", "environment"])
def test_debug_adds_the_traceback(
    gencodec: Gencodec, library: Library, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    library.error = FormatError("bad magic", offset=0)
    if how == "environment":
        monkeypatch.setenv("GENCODEC_DEBUG", "1")
    before = ["--debug"] if how == "group" else []
    after = ["--debug"] if how == "option" else []

    outcome = gencodec(*before, "verify", "in.gnv", *after)

    assert outcome.exit_code == 6
    assert "Traceback (most recent call last)" in outcome.stderr
    assert outcome.stderr.endswith("error: bad magic (at byte 0)\n")


def test_messages_never_steer_the_terminal(gencodec: Gencodec, library: Library) -> None:
    library.error = SourceError("\x1b[2Jin.mp4 [bold]is gone[/]")
    outcome = gencodec("verify", "in.gnv")
    assert outcome.stderr == "error: \\x1b[2Jin.mp4 [bold]is gone[/]\n"


def test_programs_get_the_public_kind_of_an_error(gencodec: Gencodec, library: Library) -> None:
    library.error = BodyError("group 1 is damaged", offset=100, size=9)
    outcome = gencodec("verify", "in.gnv", "--progress", "json")
    assert outcome.exit_code == 6
    assert outcome.events[-1]["kind"] == "FormatError"


def test_long_messages_stay_on_one_line(gencodec: Gencodec, library: Library) -> None:
    library.error = SourceError("word " * 100)
    assert gencodec("verify", "in.gnv").stderr.count("\n") == 1


def test_an_interrupted_training_says_how_to_go_on(gencodec: Gencodec, library: Library) -> None:
    library.error = KeyboardInterrupt()
    outcome = gencodec("train", "mini", "--clips", "a")
    assert outcome.exit_code == 130
    assert outcome.stderr.startswith("interrupted; run the same command again")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], "frobnicate"),
        (["enocde"], "encode"),
        (["--frobnicate"], "--frobnicate"),
        (["models"], "Usage: gencodec models"),
        ([], "Usage: gencodec"),
    ],
)
def test_wrong_commands_exit_with_2(gencodec: Gencodec, arguments: list[str], words: str) -> None:
    outcome = gencodec(*arguments)
    assert outcome.exit_code == 2
    assert words in outcome.stderr
    assert outcome.stdout == b""


def test_help_shows_examples_first_and_rates_apart(gencodec: Gencodec) -> None:
    outcome = gencodec("encode", "--help")
    assert outcome.exit_code == 0
    text = outcome.stdout.decode()
    titles = (
        "Usage:",
        "Examples:",
        "Options:",
        "Rate (at most one):",
        "Model and device:",
        "Expert:",
    )
    places = [text.index(title) for title in titles]
    assert places == sorted(places)
    assert outcome.stdout == gencodec("encode", "-h").stdout


def test_every_option_of_every_command_is_explained(gencodec: Gencodec) -> None:
    names = ("encode", "decode", "info", "verify", "train")
    for command in (*names, "models list", "models verify", "models fetch"):
        lines = gencodec(*command.split(), "--help").stdout.decode().splitlines()
        options = [index for index, line in enumerate(lines) if line.startswith("  -")]
        assert options
        for index in options:
            parts = lines[index].strip().split("  ", 1)
            assert len(parts) == 2 or lines[index + 1].startswith("      "), lines[index]


def test_only_commands_with_an_output_speak_of_it(gencodec: Gencodec) -> None:
    for command in ("encode", "decode", "info", "verify", "eval", "bench", "train", "models list"):
        text = gencodec(*command.split(), "--help").stdout.decode()
        assert "--json" in text
        assert ("-o is -" in text) == ("--output" in text), command


def test_the_version_is_the_package_version(gencodec: Gencodec) -> None:
    outcome = gencodec("--version")
    assert outcome.exit_code == 0
    assert outcome.stdout.decode().startswith("gencodec ")
