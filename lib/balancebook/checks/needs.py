"""What each check needs of a target: asked right before the check itself, and by `balancebook doctor`.

One source for both, so that the doctor promises exactly what a check will do. Only profile and schema are read here;
whether rows may be read is another question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from balancebook.balances.asset_list import require_assets
from balancebook.balances.strategies import require_fitting
from balancebook.checks.context import NO_GATEWAY, Context, NotAsked
from balancebook.errors import BalancebookError
from balancebook.ledger.source import open_source
from balancebook.reconcile.sides import base_side
from balancebook.store.definition import definition_of, parse_definition

Params = Mapping[str, object]
# As in the notebooks: what a check is asked about unless somebody chooses otherwise.
_STRATEGY, _ASSETS_FROM = "group_by", "scan"


def require(code: str, ctx: Context, params: Params | None = None) -> None:
    """Raises NotAsked if the check of that code is skipped on this target, BalancebookError if it cannot work there.

    params: what the check is asked with; by default what the notebooks ask.
    """
    for need in _NEEDS.get(code, ()):
        need(ctx, params or {})


def _gateway(ctx: Context, _: Params) -> None:
    if ctx.profile.gateway is None:
        raise NotAsked(NO_GATEWAY)


def _health(ctx: Context, _: Params) -> None:
    if ctx.profile.gateway and ctx.profile.gateway.health_path is None:
        raise NotAsked("the gateway exposes no health endpoint: the profile has no health_path")


def _definition(ctx: Context, _: Params) -> None:
    path = ctx.profile.view_definition
    if path is None:
        raise NotAsked("the profile names no view_definition; `balancebook view pin` writes one")
    try:
        parse_definition(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise BalancebookError(
            f"The view definition {path.name} cannot be read: {why}.", "Correct it."
        ) from error


def _view(ctx: Context, _: Params) -> None:
    ctx.target  # noqa: B018 (read, or raised)


def _countable(ctx: Context, _: Params) -> None:
    keys = {f'"{column.name}" IS NOT NULL' for column in (*ctx.view.partition_key, *ctx.view.clustering_key)}
    if definition_of(ctx.view).where - keys:
        raise NotAsked(
            f"{ctx.view.name} filters its rows, so its row count proves nothing; V005 compares row by row"
        )


def _comparable(ctx: Context, _: Params) -> None:
    base_side(ctx.reader, ctx.view)


def _assets(ctx: Context, params: Params) -> None:
    require_assets(ctx.reader, ctx.target, str(params.get("assets_from", _ASSETS_FROM)))


def _strategy(ctx: Context, params: Params) -> None:
    require_fitting(ctx.reader, ctx.target, str(params.get("strategy", _STRATEGY)))


def _ledger(ctx: Context, params: Params) -> None:
    user_id = params.get("user_id")
    if isinstance(user_id, int | str):
        # First, since what was asked comes before what is there.
        ctx.account(user_id)
    open_source(ctx.reader, ctx.target.base, ctx.profile)
    if user_id is not None:
        _assets(ctx, params)


def _sample(ctx: Context, params: Params) -> None:
    # What was drawn and judged already could be.
    if "judged" not in params:
        _assets(ctx, params)
        _strategy(ctx, params)


def _whole(_: Context, params: Params) -> None:
    if params.get("user_id") is not None or params.get("sample") is not None:
        raise NotAsked("Only over the whole ledger do the sums of each asset come out even.")


def _time(ctx: Context, _: Params) -> None:
    if not ctx.ledger.time:
        raise NotAsked("The ledger has no column for the time of an entry.")


def _trades(ctx: Context, _: Params) -> None:
    source = open_source(ctx.reader, ctx.target.base, ctx.profile)
    if source.trades_error:
        raise BalancebookError(source.trades_error)
    if why := source.no_trades:
        raise NotAsked(f"{why[0].upper()}{why[1:]}.")


def _sums(ctx: Context, _: Params) -> None:
    if why := open_source(ctx.reader, ctx.target.base, ctx.profile).no_sums:
        raise NotAsked(f"{why[0].upper()}{why[1:]}.")


_NEEDS: dict[str, tuple[Callable[[Context, Params], None], ...]] = {
    "V002": (_definition,),
    "V004": (_view, _countable),
    "V005": (_view, _comparable),
    **dict.fromkeys(("Q001", "Q002", "Q003"), (_assets, _strategy)),
    "Q004": (_sample,),
    "B001": (_ledger,),
    **dict.fromkeys(("L001", "L002", "L003", "L006"), (_ledger,)),
    "L004": (_ledger, _trades),
    "L005": (_time, _ledger),
    "L007": (_whole, _ledger, _sums),
    "G001": (_gateway, _health),
    "G002": (_gateway,),
    **dict.fromkeys(("G003", "G004", "G006"), (_gateway, _assets)),
    "G005": (_gateway,),
}
