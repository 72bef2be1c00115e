"""What the commands share: how help is laid out, and options that several of them have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import click

from gencodec.cli.console import Console, ProgressMode

_Decorated = TypeVar("_Decorated", bound=Callable[..., object])

_SECTIONS = {
    "Rate (at most one)": ("bpp", "bitrate", "size", "quality"),
    "Model and device": ("pack", "pack_dirs", "device", "threads"),
    "Expert": (
        "gop",
        "max_pixels",
        "resume",
        "steps",
        "metrics_dir",
        "start_from",
        "force",
        "debug",
    ),
}
_COMMON = "Options"


class Command(click.Command):
    """A command whose help shows examples first and options in sections."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write usage, what it does, examples, options."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_epilog(ctx, formatter)
        self.format_options(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, common ones first."""
        section_of = {name: title for title, names in _SECTIONS.items() for name in names}
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in (_COMMON, *_SECTIONS)}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections[section_of.get(parameter.name or "", _COMMON)].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def overwrite_options(command: _Decorated) -> _Decorated:
    """Add -y and -n."""
    yes = click.option("-y", "--yes", is_flag=True, help="Overwrite an existing output.")
    no = click.option("-n", "--no", is_flag=True, help="Never overwrite; fail if it exists.")
    return yes(no(command))


def device_options(command: _Decorated) -> _Decorated:
    """Add --device and --threads."""
    device = click.option(
        "--device",
        default="auto",
        metavar="NAME",
        envvar="GENCODEC_DEVICE",
        show_default=True,
        show_envvar=True,
        help="auto, cpu, cuda or cuda:N.",
    )
    threads = click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        envvar="GENCODEC_THREADS",
        show_envvar=True,
        help="CPU threads; the result does not depend on it.",
    )
    return device(threads(command))


def json_option(command: _Decorated) -> _Decorated:
    """Add --json, as the parameter `as_json`."""
    text = "Print the result as one JSON object on stdout (on stderr if -o is -)."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def console_options(command: _Decorated) -> _Decorated:
    """Add --progress, which sets the console's mode before other options can fail."""
    progress = click.option(
        "--progress",
        type=click.Choice(["auto", "plain", "json", "off"]),
        default="auto",
        show_default=True,
        is_eager=True,
        expose_value=False,
        callback=_set_progress,
        help="A bar, a line every 10 s, JSON events on stderr, or nothing.",
    )
    return progress(debug_option(command))


def debug_option(command: _Decorated) -> _Decorated:
    """Add --debug, which every command takes."""
    debug = click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_set_debug,
        help="Show a traceback with every error (also: GENCODEC_DEBUG=1).",
    )
    return debug(command)


def _set_progress(ctx: click.Context, param: click.Parameter, value: str) -> None:
    console = ctx.find_object(Console)
    if console is not None and not ctx.resilient_parsing:
        console.mode = cast("ProgressMode", value)
        console.command = ctx.info_name or ""


def _set_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001  # click calls it
    console = ctx.find_object(Console)
    if console is not None and value:
        console.debug = True
