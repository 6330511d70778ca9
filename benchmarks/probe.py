"""Balance queries beside a benchmark, each timed, until it is told to end; then prints their nanoseconds as JSON.

python benchmarks/probe.py --port PORT --accounts N [--every-ms 10] [--threads 1]

Without a pause (--every-ms 0) several threads are a load of their own.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import threading
import time

from arguments import at_least, port
from cassandra.cluster import Cluster
from exchange import TARGET

QUERY = f"SELECT asset_id, seq, avail FROM {TARGET} WHERE user_id = ? GROUP BY user_id, asset_id"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=port, required=True)
    parser.add_argument("--accounts", type=at_least(1), required=True)
    parser.add_argument("--every-ms", type=at_least(0), default=10)
    parser.add_argument("--threads", type=at_least(1), default=1)
    options = parser.parse_args()
    ended, times = threading.Event(), list[int]()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    cluster = Cluster(["127.0.0.1"], port=options.port)
    session = cluster.connect()
    query = session.prepare(QUERY)

    def ask(seed: int) -> None:
        chance = random.Random(seed)
        while not ended.is_set():
            began = time.perf_counter_ns()
            session.execute(query, (1000 + chance.randrange(options.accounts),))
            times.append(time.perf_counter_ns() - began)
            ended.wait(options.every_ms / 1000)

    people = [threading.Thread(target=ask, args=(seed,)) for seed in range(options.threads)]
    for person in people:
        person.start()
    print("ready", flush=True)
    for person in people:
        person.join()
    print(json.dumps(times))
    cluster.shutdown()


if __name__ == "__main__":
    main()
