"""From rows that look wrong to what is wrong: one rule over repeated looks at both sides, and its readers."""

SCAN_CONSISTENCY = "LOCAL_ONE"
CONFIRM_CONSISTENCY = "LOCAL_QUORUM"
