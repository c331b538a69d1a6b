"""``metrics``: figures for Prometheus."""

from __future__ import annotations

from artfs.cli.output import write
from artfs.cli.session import Session, subcommand

__all__ = ["metrics"]


@subcommand("metrics", as_json=False)
def metrics(session: Session) -> None:
    """Print figures for Prometheus.

    They are those of the workspace and of its mounts. The output is in Prometheus' text format, for the textfile
    collector of node_exporter: write it to a temporary file, and rename that.

    \b
    Example:
      artfs metrics > artfs.prom.new && mv artfs.prom.new artfs.prom
    """
    from artfs.metrics import families, text_of

    write(text_of(families(session.open())))
