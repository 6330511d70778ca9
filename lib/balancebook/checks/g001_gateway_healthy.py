"""G001 gateway_healthy."""

from __future__ import annotations

from balancebook.checks.base import Finding, check, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.gateway import GatewayError, GatewayHealth
from balancebook.store.health import ViewHealth, view_health

# What the gateway must say for each state of the view.
_HONEST = {"healthy": "Healthy", "building": "Rebuilding", "missing": "Missing"}
_STATE = {"healthy": "built", "building": "not built", "missing": "missing"}


@check("G001", "gateway_healthy")
def gateway_healthy(ctx: Context) -> Finding:
    """Is the gateway up, and does its health say what the view is: Missing, Rebuilding n %, or Healthy?

    A gateway that says Healthy over a half-built view serves wrong balances with confidence, so its word is compared
    with the build status that the database itself gives. It may look only now and then, so a difference counts if it is
    still there after the grace period. No row is read: whether the view is right, V005 says.
    """
    try:
        said, view = ctx.gateway.health(), _view_now(ctx)
        if not honest(said, view):
            ctx.sleep(ctx.grace_s)
            said, view = ctx.gateway.health(), _view_now(ctx)
    except GatewayError as error:
        return (unknown if error.kind == "denied" else failed)(str(error))
    return judge_health(said, view)


def _view_now(ctx: Context) -> ViewHealth:
    return view_health(ctx.reader, ctx.keyspace, ctx.profile.view)


def honest(said: GatewayHealth, view: ViewHealth) -> bool:
    """Whether the gateway says what the view is; True too where that is not known."""
    return view.state not in _HONEST or said.state == _HONEST[view.state]


def judge_health(said: GatewayHealth, view: ViewHealth) -> Finding:
    """Pass only if the gateway says Healthy (its status for a success, HTTP 200) and the view is."""
    if view.state == "unreported":
        return unknown(f"The gateway says {said.state}; whether that is so, V003 says. {view.note}")
    if view.state not in _HONEST:
        return unknown(
            f"The gateway says {said.state}; the view's build status could not be read. {view.note}".rstrip()
        )
    if not honest(said, view):
        return failed(f"The gateway says {said.state}, but by the server the view is {_STATE[view.state]}.")
    if view.state != "healthy":
        return failed(
            f"The gateway says {said.state}, and by the server the view is {_STATE[view.state]}: "
            "balances are not to be served now."
        )
    if not said.ok:
        status = "" if said.status is None else f"status {said.status} and "
        return failed(f"The gateway says Healthy with {status}HTTP {said.http_status}.")
    return passed("The gateway says Healthy, and by the server the view is built. No row was compared.")
