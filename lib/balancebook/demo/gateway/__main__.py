"""`python -m balancebook.demo.gateway`: serve until told to stop. Exit 2 when it cannot listen."""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import socket
import sys
from pathlib import Path

import uvicorn
from starlette.routing import Route

from balancebook.demo.gateway.app import build_app
from balancebook.demo.gateway.database import Database
from balancebook.demo.gateway.mode import Mode
from balancebook.demo.gateway.trading import Trading
from balancebook.demo.gateway.views import TradingView, WalletsView
from balancebook.demo.gateway.waiting import Workers
from balancebook.demo.gateway.wallets import Wallets


def main() -> int:
    options = _parser().parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)  # it reports every attempt to reconnect
    try:
        listener = socket.create_server((options.host, options.port), backlog=128)
    except OSError as error:
        sys.stderr.write(_cannot_listen(options.host, options.port, error) + "\n")
        return 2
    # asyncio sets it only on sockets made with an explicit protocol; without it an answer may wait 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"gateway ({options.mode}) listening on http://{host}:{port}\n")
    sys.stdout.flush()
    database, workers = Database(options.contact_point, options.cql_port), Workers()
    config = uvicorn.Config(
        build_app(database, workers, _routes(options, database, workers)),
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def _routes(options: argparse.Namespace, database: Database, workers: Workers) -> list[Route]:
    mode = Mode(options.mode)
    trading = TradingView(database, options.keyspace, options.view)
    wallets = WalletsView(database, options.wallets_keyspace, options.wallets_view)
    return [
        *Trading(trading, workers, mode).routes,
        *Wallets(wallets, workers, mode, options.api_key_file).routes,
    ]


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use. Stop what listens there, or choose another --port."
    return f"Cannot listen on {host} port {port}: {error.strerror or error}. Choose another --host or --port."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m balancebook.demo.gateway", description=__doc__)
    parser.add_argument("--contact-point", default="127.0.0.1", help="address of the database (%(default)s)")
    parser.add_argument("--cql-port", type=_port, default=19042, help="its CQL port (%(default)s)")
    parser.add_argument("--keyspace", default="trading", help="keyspace of the view (%(default)s)")
    parser.add_argument("--view", default="user_balances_by_user", help="the view to read (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=_port, default=3001, help="port; 0 takes a free one (%(default)s)")
    wallets = parser.add_argument_group("the second contract")
    key = Path(__file__).with_name("api-key.txt")
    wallets.add_argument(
        "--api-key-file", type=_content, default=str(key), help="file of what X-Api-Key must be (%(default)s)"
    )
    wallets.add_argument("--wallets-keyspace", default="wallets", help="keyspace of its view (%(default)s)")
    wallets.add_argument("--wallets-view", default="wallets_by_owner", help="its view (%(default)s)")
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], default=Mode.FIXED.value)
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: choose 0 to 65535")
    return int(text)


def _content(path: str) -> str:
    try:
        key = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{path!r} cannot be read: {error}") from error
    if not key:
        raise argparse.ArgumentTypeError(f"{path!r} is empty")
    return key


if __name__ == "__main__":
    sys.exit(main())
