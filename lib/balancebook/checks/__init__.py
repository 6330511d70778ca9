"""Every check, one a file. Importing this package registers them all."""

from balancebook.checks import (  # noqa: F401 (imported to register)
    b001_balances_not_negative,
    g001_gateway_healthy,
    g002_gateway_contract,
    g003_gateway_equals_base,
    g004_gateway_unknown_user,
    g005_gateway_rejects_bad_input,
    g006_gateway_knows_every_asset,
    l001_running_balance_adds_up,
    l002_seq_has_no_gaps,
    l003_no_negative_balance,
    l004_trades_conserve_assets,
    l005_time_moves_forward,
    l006_entries_are_possible,
    l007_assets_conserve,
    q001_latest_row_set,
    q002_unknown_user_is_empty,
    q003_latest_row_values,
    q004_right_for_the_sample,
    v001_view_exists,
    v002_view_definition,
    v003_view_built,
    v004_row_counts,
    v005_view_reconciles,
)
from balancebook.checks.base import CHECKS, Check, NotAsked

__all__ = ["CHECKS", "Check", "NotAsked"]
