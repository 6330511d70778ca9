"""Writes to the benchmark's ledger at a rate until it is told to end; then prints how many a second it did.

python benchmarks/writer.py --port PORT [--rate 1000]
"""

from __future__ import annotations

import argparse
import random
import signal
import threading
import time

from arguments import at_least, port
from cassandra.cluster import Cluster
from exchange import KEYSPACE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=port, required=True)
    parser.add_argument("--rate", type=at_least(0), default=1000)
    options = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    if not options.rate:
        ended.wait(3600)
        return
    cluster = Cluster(["127.0.0.1"], port=options.port)
    session = cluster.connect(KEYSPACE)
    insert = session.prepare(
        "INSERT INTO balance_ledger (user_id, asset_id, seq, avail, frozen, created_at) VALUES (?, ?, ?, ?, 0, ?)"
    )
    chance, began, written = random.Random(1), time.monotonic(), 0
    in_flight = threading.Semaphore(64)
    while not ended.is_set():
        if written > (time.monotonic() - began) * options.rate:
            time.sleep(0.001)
            continue
        written += 1
        in_flight.acquire()
        row = (
            chance.randrange(1000, 5000),
            1 + written % 4,
            10**6 + written,
            written,
            int(time.time() * 1000),
        )
        session.execute_async(insert, row).add_callbacks(
            lambda _: in_flight.release(), lambda _: in_flight.release()
        )
    print(int(written / (time.monotonic() - began)))
    cluster.shutdown()


if __name__ == "__main__":
    main()
