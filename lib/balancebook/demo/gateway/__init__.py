"""The demo exchange's balance gateway: what balancebook judges, so it shares no code with balancebook.

It has its own CQL, registry and number format, and runs as its own process: `python -m balancebook.demo.gateway`.
In mode `fixed` it answers as a gateway should; in mode `seed` it repeats the faults of the gateway in the report.
It serves two contracts: `trading` is the report's, `wallets` that of an exchange that does everything otherwise.
"""
