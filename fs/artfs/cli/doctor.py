"""``doctor``: checks of the machine, with a fix for each problem."""

from __future__ import annotations

from artfs.cli.output import legible, write_document, write_line
from artfs.cli.session import Session, subcommand
from artfs.cli.terminal import styled

__all__ = ["doctor"]


@subcommand("doctor")
def doctor(session: Session) -> int:
    """Check what this machine supports.

    Each problem is printed with its fix. Nothing is changed. The exit code is 1 if something that artfs requires is
    missing; a warning names something that is slower or not available.

    \b
    Example:
      artfs doctor
    """
    from artfs.cli.machine import examine
    from artstore.locate import find_workspace

    checks = list(examine(find_workspace(session.workspace)))
    failed = sum(check.status == "fail" for check in checks)
    if session.json:
        from artfs.documents.checking import MachineDocument

        write_document(MachineDocument.of(checks))
        return int(failed > 0)
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = styled(check.status, check.status) + " " * (4 - len(check.status))
        write_line(f"{mark}  {check.name:{width}}  {legible(check.detail)}")
        if check.fix:
            write_line(f"{'':4}  {'':{width}}  fix: {legible(check.fix)}")
    warned = sum(check.status == "warn" for check in checks)
    write_line("")
    if failed:
        write_line(f"{failed} of {len(checks)} checks failed" + (f", {warned} gave warnings" if warned else ""))
    else:
        write_line(
            "all checks passed" if not warned else f"artfs works here; {warned} of {len(checks)} checks gave warnings"
        )
    return int(failed > 0)
