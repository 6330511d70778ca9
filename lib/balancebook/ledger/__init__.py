"""The ledger itself: whether every entry is explained by the one before it, and every trade by its entries."""
