"""Balances for analysts: one account's statement, history and counterparties; all accounts from one extract."""

from balancebook.explore.everyone import Everyone, extract_for
from balancebook.explore.form import show_form
from balancebook.explore.one import Account

__all__ = ["Account", "Everyone", "extract_for", "show_form"]
