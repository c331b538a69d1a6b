"""``retention``: rules by which versions expire; planning and applying them."""

from __future__ import annotations

import click

from artfs.cli.completion import REFERENCE, RULE
from artfs.cli.metadata import parse_metadata
from artfs.cli.output import counted, moment, size, warn, warn_of_silent, write_document, write_line, write_table
from artfs.cli.session import Group, Session, subcommand
from artfs.cli.terminal import styled
from artfs.cli.times import parse_duration, parse_time_left
from artfs.legible import rule_in_words

__all__ = ["retention"]


@click.group("retention", cls=Group)
def retention() -> None:
    """Expire versions automatically.

    A rule selects versions and defines which of them to keep. A version expires if a rule selects it and no rule that
    selects it keeps it; versions that no rule selects are kept. The latest version of an artifact is kept, and so are
    versions that have an alias or are the base of an open draft. A version can also have its own expiry time ('artfs
    retention ttl'), and rules do not apply to it then. A mount applies the rules every ten minutes, 'artfs retention
    apply' at once; expired versions can be undeleted as after 'artfs rm'.

    \b
    Example:
      artfs retention set checkpoints --type model --keep-best 5:accuracy
      artfs retention set processed --tag processed --keep-within 90d
      artfs retention plan
    """


@subcommand("set", group=retention, writes=True)
@click.argument("name", metavar="RULE", type=RULE)
@click.option("--project", metavar="PROJECT", help="Select artifacts in this project and below.")
@click.option("--type", "type_", metavar="TYPE", help="Select artifacts of this type.")
@click.option("--artifact", metavar="GLOB", help="Select artifacts whose full name matches; quote it.")
@click.option("--tag", metavar="TAG", help="Select versions with this tag.")
@click.option(
    "--meta", multiple=True, metavar="JSON|K=V|K:=JSON", help="Select versions with this metadata; repeatable."
)
@click.option("--keep-last", "last", type=click.IntRange(min=1), metavar="N", help="Keep the last N versions.")
@click.option("--keep-within", "within", metavar="TIME", help="Keep versions created within this time, such as 90d.")
@click.option(
    "--keep-best",
    "best",
    metavar="N:FIELD[:min]",
    help="Keep the N versions with the greatest (min: least) number FIELD in the metadata.",
)
@click.option(
    "--keep-hourly", "hourly", type=click.IntRange(min=1), metavar="N", help="Keep the last N hourly versions."
)
@click.option("--keep-daily", "daily", type=click.IntRange(min=1), metavar="N", help="Keep the last N daily versions.")
@click.option(
    "--keep-weekly", "weekly", type=click.IntRange(min=1), metavar="N", help="Keep the last N weekly versions."
)
@click.option(
    "--keep-monthly", "monthly", type=click.IntRange(min=1), metavar="N", help="Keep the last N monthly versions."
)
@click.option(
    "--keep-yearly", "yearly", type=click.IntRange(min=1), metavar="N", help="Keep the last N yearly versions."
)
@click.option(
    "--keep-alias", "aliases", multiple=True, metavar="GLOB", help="Keep versions with a matching alias; repeatable."
)
@click.option(
    "--keep-tag", "tags", multiple=True, metavar="GLOB", help="Keep versions with a matching tag; repeatable."
)
@click.option("--keep-all", "everything", is_flag=True, help="Keep all selected versions.")
@click.option("--aliased", is_flag=True, help="Also expire versions with aliases, except those of --keep-alias.")
def retention_set(
    session: Session,
    name: str,
    type_: str | None,
    meta: tuple[str, ...],
    within: str | None,
    best: str | None,
    **options: object,
) -> None:
    """Create or replace the rule RULE.

    A version must match every selector; without selectors, all versions are selected. Versions are counted separately
    for each artifact, and only those that the rule selects. Hours, days, weeks, months and years are in UTC; those
    without versions are not counted.

    \b
    Examples:
      artfs retention set results --type results --keep-within 30d
      artfs retention set checkpoints --artifact 'team/*' --keep-best 5:loss:min --keep-last 2
    """
    given = {key: value for key, value in options.items() if value}
    if best is not None:
        given.update(_best(best))
    if within is not None:
        given["within"] = parse_duration(within)
    if type_ is not None:
        given["type"] = type_
    if meta:
        given["metadata"] = parse_metadata(meta)
    rule = session.open().retention.set(name, **given)
    if session.json:
        from artfs.documents.retention import RuleDocument

        write_document(RuleDocument.of(rule))
    else:
        warn(f"{name}: {rule_in_words(rule)}; 'artfs retention plan' shows its effect")


def _best(text: str) -> dict[str, object]:
    """Parse ``5:accuracy`` or ``5:loss:min``."""
    from artstore.errors import InvalidInputError

    count, _, rest = text.partition(":")
    field, lowest = (rest[: -len(":min")], True) if rest.endswith(":min") else (rest.removesuffix(":max"), False)
    if not count.isdecimal() or not int(count) or not field:
        raise InvalidInputError(f"{text!r} is not N:FIELD", hint="such as 5:accuracy, or 5:loss:min for the smallest")
    return {"best": int(count), "field": field, "lowest": lowest}


@subcommand("rm", group=retention, writes=True)
@click.argument("name", metavar="RULE", type=RULE)
def retention_rm(session: Session, name: str) -> None:
    """Remove a rule.

    \b
    Example:
      artfs retention rm checkpoints
    """
    session.open().retention.remove(name)
    if session.json:
        from artfs.documents.retention import RuleRemovalDocument

        write_document(RuleRemovalDocument(name))
    else:
        warn(f"removed the rule {name}")


@subcommand("show", group=retention)
def retention_show(session: Session) -> None:
    """List the rules.

    \b
    Examples:
      artfs retention ls
      artfs retention show
    """
    rules = session.open().retention.rules()
    if session.json:
        from artfs.documents.retention import RulesDocument

        write_document(RulesDocument.of(rules))
    else:
        rows = [[rule.name, rule_in_words(rule)] for rule in rules]
        write_table(["RULE", "WHAT"], rows, empty="there are no retention rules; 'artfs retention set' makes one")


retention.add_command(retention_show, "ls")  # what lists is called ls elsewhere


@subcommand("plan", group=retention, paged=True)
@click.option("--expiring", is_flag=True, help="List only versions that expire.")
@click.option("--going", is_flag=True, hidden=True)  # the earlier name of --expiring
def retention_plan(session: Session, expiring: bool, going: bool) -> None:
    """Show which versions would expire, and why.

    Nothing is changed. The size is the space that deleting these versions frees.

    \b
    Example:
      artfs retention plan --expiring
    """
    plan = session.open().retention.plan()
    shown = plan.expiring if expiring or going else plan.verdicts
    if session.json:
        from artfs.documents.retention import RetentionPlanDocument

        write_document(RetentionPlanDocument.of(plan, shown))
        return
    for verdict in shown:
        mark = styled("expire", "removed") if verdict.expires else styled("keep", "added") + "  "
        write_line(f"{mark}  {verdict.candidate.name}  {'; '.join(verdict.reasons)}")
    write_line(
        f"{counted(len(plan.expiring), 'version')} of {len(plan.verdicts):,} would be deleted: {size(plan.freed_bytes)}"
    )


@subcommand("apply", group=retention, writes=True)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would expire, and change nothing.")
@click.option(
    "--trust-clock",
    is_flag=True,
    help="Confirm that the clock is right even though it differs from the recorded times.",
)
def retention_apply(session: Session, dry_run: bool, trust_clock: bool) -> None:
    """Delete the versions that have expired.

    They can be undeleted until the undelete window ends. If the clock is behind the newest version, or more than 30
    days ahead of it, nothing is deleted unless --trust-clock confirms the clock.

    \b
    Example:
      artfs retention apply
    """
    retired = session.open().retention.apply(trust_clock=trust_clock, dry_run=dry_run)
    warn_of_silent(retired.silent)
    if session.json:
        from artfs.documents.retention import RetentionDocument

        write_document(RetentionDocument.of(retired, dry_run=dry_run))
        return
    for name in retired.versions:
        write_line(name)
    for phrase in retired.kept:
        warn(f"kept {phrase}")
    what = "would be deleted" if dry_run else "deleted"
    until = "" if retired.due_at is None or dry_run else f", undelete until {moment(retired.due_at)}"
    warn(f"{counted(len(retired.versions), 'version')} {what}: {size(retired.freed_bytes)}{until}")


@subcommand("ttl", group=retention, writes=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.argument("time", metavar="TIME|none")
def retention_ttl(session: Session, reference: str, time: str) -> None:
    """Set the expiry time of a version, TIME from now.

    TIME is for example 30d or 12h, or a date such as 2026-12-31; 'none' removes the expiry time. Retention rules do not
    apply to such a version. It expires even if it is the latest, but not if it has an alias.

    \b
    Example:
      artfs retention ttl results:v3 30d
    """
    workspace = session.open()
    version = workspace.version(reference)
    ends = workspace.retention.set_ttl(version.name, None if time == "none" else parse_time_left(time))
    if session.json:
        from artfs.documents.retention import ExpiryDocument

        write_document(ExpiryDocument(version.name, ends))
    elif ends is None:
        warn(f"{version.name} has no expiry time")
    else:
        warn(f"{version.name} expires at {moment(ends)}{_aliased(version.aliases)}")


def _aliased(aliases: list[str]) -> str:
    names = [alias for alias in aliases if alias != "latest"]
    return f", unless it still has the alias {names[0]!r} then" if names else ""
