"""A benchmark as one page: a player, curves, tables. It opens from a file and asks no server."""

from gencodec.evaluation.report.build import write_report

__all__ = ["write_report"]
