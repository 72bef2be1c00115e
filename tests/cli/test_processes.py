"""What only a real process can show: pipes, signals, terminals, imports."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from gencodec.container import SIGNATURE

STUB = Path(__file__).with_name("stub_process.py")
HEAVY = ("torch", "diffusers", "compressai", "av")


@pytest.fixture(autouse=True, scope="module")
def interruptible() -> Iterator[None]:
    """Children inherit it: tests in the background, or under nohup, ignore signals."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    hung_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGHUP, hung_up)


def _start(
    mode: str,
    *arguments: str,
    stdin: int = subprocess.PIPE,
    stdout: int | IO[str] = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    environment: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> subprocess.Popen[str]:
    inherited = {k: v for k, v in os.environ.items() if k not in ("GENCODEC_DEBUG", "CI")}
    return subprocess.Popen(
        [sys.executable, str(STUB), *arguments],
        env=inherited | {"STUB": mode} | (environment or {}),
        text=True,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        preexec_fn=before,
    )


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.005)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "in.mp4").touch()
    return tmp_path / "out.gnv"


def _encode_arguments(output: Path) -> tuple[str, ...]:
    return "encode", str(output.with_name("in.mp4")), "-o", str(output)


def _resume(output: Path, *more: str) -> str:
    return f"go on with: {shlex.join(['gencodec', *_encode_arguments(output), *more])}"


@pytest.mark.parametrize(
    ("number", "exit_code", "words"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "terminated"),
    ],
)
def test_a_signal_ends_cleanly_with_one_line(
    output: Path, number: signal.Signals, exit_code: int, words: str
) -> None:
    process = _start("work", *_encode_arguments(output))
    part = output.with_name("out.gnv.part")
    _wait_for(part)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (exit_code, "", f"{words}; {_resume(output)}\n")
    assert not part.exists()


def test_a_swallowed_interrupt_is_raised_again(output: Path) -> None:
    process = _start("swallow", *_encode_arguments(output))
    _wait_for(output.with_name("out.gnv.part"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, f"interrupted; {_resume(output)}\n")


def test_the_same_signal_twice_at_once_still_cleans_up(output: Path) -> None:
    process = _start("work", *_encode_arguments(output))
    part = output.with_name("out.gnv.part")
    _wait_for(part)
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143
    assert not part.exists()


def test_a_second_interrupt_ends_at_once(output: Path) -> None:
    process = _start("stubborn", *_encode_arguments(output))
    _wait_for(output.with_name("out.gnv.part"))
    process.send_signal(signal.SIGINT)
    _wait_for(output.with_name("out.gnv.cleaning"))
    time.sleep(0.4)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130


def test_signals_the_parent_ignores_stay_ignored(output: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = _start("work", *_encode_arguments(output), before=ignore)
    _wait_for(output.with_name("out.gnv.part"))
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143


@pytest.fixture
def coded(tmp_path: Path) -> str:
    (tmp_path / "in.gnv").write_bytes(SIGNATURE)
    return str(tmp_path / "in.gnv")


def test_an_interrupt_does_not_wait_for_a_reader_that_sleeps(coded: str) -> None:
    process = _start("flood", "decode", coded, "-o", "-")
    assert process.stdout is not None
    process.stdout.read(1)
    time.sleep(0.1)  # by now the pipe is full and nobody reads
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 143
    process.communicate()


def test_a_reader_that_closes_the_pipe_ends_the_command_quietly(coded: str) -> None:
    process = _start("flood", "decode", coded, "-o", "-")
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=10) == 0
    process.stderr.close()
    if process.stdin is not None:
        process.stdin.close()


@pytest.mark.parametrize("arguments", [["--help"], ["encode", "--help"], ["--version"]])
def test_help_into_a_closed_pipe_is_quiet(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = _start("quick", *arguments, stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")


def test_a_full_stdout_is_an_output_error() -> None:
    with Path("/dev/full").open("w") as full:
        process = _start("quick", "completions", "zsh", stdout=full)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 4
    assert err == "error: the output cannot be written: No space left on device\n"


def test_events_are_all_that_stderr_holds_in_json_mode(output: Path) -> None:
    process = _start("work", *_encode_arguments(output), "--progress", "json")
    _wait_for(output.with_name("out.gnv.part"))
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    events = [json.loads(line) for line in err.splitlines()]
    assert events[0]["type"] == "progress"
    assert events[-1] == {
        "type": "error",
        "command": "encode",
        "exit_code": 130,
        "kind": "Interrupted",
        "message": f"interrupted; {_resume(output, '--progress', 'json')}",
    }


def _on_terminal(output: Path, typed: bytes, **environment: str) -> tuple[int, str]:
    """Run encode with a terminal as stdin and stderr, interrupt it, return what was shown."""
    ours, theirs = os.openpty()
    process = _start(
        "work",
        *_encode_arguments(output),
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        environment={"TERM": "xterm-256color"} | environment,
    )
    os.close(theirs)
    os.write(ours, typed)
    try:
        _wait_for(output.with_name("out.gnv.part"))
        time.sleep(0.5)
    finally:
        process.send_signal(signal.SIGINT)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65_536)
        except OSError:  # the other side is closed
            break
        shown += chunk
        if not chunk:
            break
    os.close(ours)
    return process.wait(timeout=20), shown.decode()


def test_a_terminal_gets_a_bar_and_its_cursor_back(output: Path) -> None:
    code, shown = _on_terminal(output, b"")
    assert code == 130
    assert "frames" in shown
    assert "\x1b[?25l" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "interrupted; go on with: gencodec encode" in shown


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("CI", "true")])
def test_no_bar_where_it_cannot_move(output: Path, name: str, value: str) -> None:
    code, shown = _on_terminal(output, b"", **{name: value})
    assert code == 130
    assert "\x1b[?25l" not in shown
    assert "\x1b[2K" not in shown


def test_no_color_is_respected(output: Path) -> None:
    _, shown = _on_terminal(output, b"", NO_COLOR="1")
    assert "\x1b[3" not in shown


def test_the_question_is_asked_on_a_terminal(output: Path) -> None:
    output.write_bytes(b"precious")
    code, shown = _on_terminal(output, b"y\n")
    assert code == 130
    assert "out.gnv exists. Overwrite it? [y/N]" in shown


@pytest.mark.parametrize(
    ("arguments", "exit_code", "also"),
    [
        (["--help"], 0, ("numpy", "rich", "gencodec.rate")),
        (["verify", "--help"], 0, ("numpy", "rich")),
        (["encode", "--help"], 0, ("numpy", "rich")),
        (["encode", "in.mp4"], 2, ("numpy",)),
        (["info", "missing.gnv"], 3, ()),
        (["verify", "missing.gnv"], 3, ()),
        (["models", "list"], 0, ()),
    ],
)
def test_light_commands_import_nothing_heavy(
    tmp_path: Path, arguments: list[str], exit_code: int, also: tuple[str, ...]
) -> None:
    script = (
        "import sys; from gencodec.cli.main import run; "
        f"assert run({arguments!r}) == {exit_code}; "
        f"print([m for m in {HEAVY + also!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"


_MISTAKES = {
    "encode missing.mp4 -o a.gnv": 3,
    "encode . -o a.gnv": 3,
    "encode in.gnv -o a.gnv": 3,
    "encode in.mp4 -o in.mp4 -y": 4,
    "encode in.mp4 -o no-folder/a.gnv": 4,
    "encode in.mp4 -o a.gnv --gop 6": 2,
    "encode in.mp4 -o a.gnv --gop 1001": 2,
    "encode in.mp4 -o a.gnv --pack no-pack": 5,
    "decode missing.gnv -o a.mp4": 3,
    "decode in.mp4 -o a.mp4": 6,
    "decode in.gnv -o a.avi": 2,
    "decode in.gnv -o in.gnv -y": 4,
    "eval in.mp4 missing.mp4": 3,
    "eval in.mp4 in.gnv --metrics beauty": 2,
    "bench --help": 0,
}
_MISTAKES_OF_BENCH = {
    "bench missing.mp4": 3,
    "bench in.mp4 --peers x266": 2,
    "bench in.mp4 --rates fast": 2,
    "bench in.mp4 --metrics beauty": 2,
}


@pytest.mark.parametrize(
    ("mistakes", "heavy"),
    [(_MISTAKES, (*HEAVY, "numpy")), (_MISTAKES_OF_BENCH, ("torch", "diffusers", "scipy"))],
)
def test_mistakes_are_answered_before_anything_heavy_is_imported(
    tmp_path: Path, mistakes: dict[str, int], heavy: tuple[str, ...]
) -> None:
    (tmp_path / "in.mp4").write_bytes(b"video")
    (tmp_path / "in.gnv").write_bytes(SIGNATURE)
    script = (
        "import sys; from gencodec.cli.main import run\n"
        f"for line, wanted in {mistakes!r}.items():\n"
        "    code = run(line.split())\n"
        f"    heavy = [m for m in {heavy!r} if m in sys.modules]\n"
        "    assert (code, heavy) == (wanted, []), (line, code, heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.gnv", "in.mp4"]


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gencodec", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("gencodec ")
