"""Administration of a node over the Jolokia agent: JMX operations as JSON over HTTP."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from balancebook.errors import BalancebookError

_STORAGE = "org.apache.cassandra.db:type=StorageService"
_COMPACTIONS = "org.apache.cassandra.db:type=CompactionManager"
_TIMEOUT_S = 120.0

# <version>-<generation>-<format>-<component>, the file names of SSTables since Cassandra 4.
_SSTABLE = re.compile(r"(?P<version>[a-z]{2})-(?P<generation>\w+)-(?P<rest>\w+-[\w.]+)")
# Far above any generation that the server will reach by itself, so that no flush takes a staged file's name.
_STAGED_GENERATION = 1_000_000_000


class AdminError(BalancebookError):
    """An administrative operation that was refused, or an agent that does not answer."""

    code = "admin"


class Admin:
    """One node's JMX operations. `url` is the agent's, with its user and password: http://user:password@host:port/jolokia.

    Every method raises AdminError, naming the operation and what the server said.
    """

    def __init__(self, url: str) -> None:
        # trust_env: a company's HTTP proxy must not come between this process and its own node.
        self._client = httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def flush(self, keyspace: str, table: str) -> None:
        """Write the table's memtable to disk as an SSTable."""
        self._exec(_STORAGE, "forceKeyspaceFlush(java.lang.String,[Ljava.lang.String;)", keyspace, [table])

    def truncate(self, keyspace: str, table: str) -> None:
        """Remove all rows of a table, or of a view, which CQL refuses to truncate."""
        self._exec(_STORAGE, "truncate(java.lang.String,java.lang.String)", keyspace, table)

    def snapshot(self, tag: str, keyspace: str, tables: Sequence[str] = ()) -> None:
        """Snapshot these tables and views of a keyspace, by default all, under `tag`, flushing first."""
        signature = "takeSnapshot(java.lang.String,java.util.Map,[Ljava.lang.String;)"
        named = [f"{keyspace}.{table}" for table in tables]
        self._exec(_STORAGE, signature, tag, {}, named or [keyspace])

    def clear_snapshot(self, tag: str, keyspace: str) -> None:
        """Remove a snapshot; nothing happens if there is none."""
        signature = "clearSnapshot(java.util.Map,java.lang.String,[Ljava.lang.String;)"
        self._exec(_STORAGE, signature, {}, tag, [keyspace])

    def stop_view_build(self) -> None:
        """Stop every running view build. Its status stays STARTED; a restart or an ALTER of the base resumes it."""
        self._exec(_COMPACTIONS, "stopCompaction(java.lang.String)", "VIEW_BUILD")

    def writes(self, keyspace: str, table: str) -> int:
        """How many writes the table has taken since the node started; imports and truncations are none."""
        bean = f"org.apache.cassandra.metrics:type=Table,keyspace={keyspace},scope={table},name=WriteLatency"
        found = self._ask(
            {"type": "read", "mbean": bean, "attribute": "Count"}, f"writes of {keyspace}.{table}"
        )
        return int(found)

    def data_paths(self, keyspace: str, table: str) -> list[Path]:
        """The folders in which the node keeps the SSTables of a table or view."""
        bean = f"org.apache.cassandra.db:type=Tables,keyspace={keyspace},table={table}"
        found = self._ask(
            {"type": "read", "mbean": bean, "attribute": "DataPaths"}, f"DataPaths of {keyspace}.{table}"
        )
        return [Path(path) for path in found]

    def import_sstables(self, keyspace: str, table: str, folder: Path) -> None:
        """Add copies of the SSTables in `folder` to a table or view, past the view's update. The node must be local.

        By StorageService.loadNewSSTables, since Jolokia cannot pass the Set of importNewSSTables. The server takes
        SSTables that it cannot read for none and says nothing: AdminError is raised if any was left lying.
        """
        target = self.data_paths(keyspace, table)[0]
        staged = [target / name for name in _copied(folder, target)]
        if not staged:
            raise AdminError(f"{folder} holds no SSTables to import.", "Flush the table first.")
        try:
            self._exec(_STORAGE, "loadNewSSTables(java.lang.String,java.lang.String)", keyspace, table)
            left = [path.name for path in staged if path.exists()]
        finally:
            for path in staged:
                path.unlink(missing_ok=True)
        if left:
            raise AdminError(
                f"The server did not take {left[0]} into {keyspace}.{table}.",
                "Its storage_compatibility_mode must fit the SSTable's version.",
            )

    def _exec(self, bean: str, operation: str, *arguments: Any) -> Any:
        request = {"type": "exec", "mbean": bean, "operation": operation, "arguments": list(arguments)}
        named = [argument for argument in arguments if isinstance(argument, str)]
        return self._ask(request, " ".join([operation.partition("(")[0], *named]))

    def _ask(self, request: dict[str, Any], what: str) -> Any:
        try:
            response = self._client.post("/", json=request)
            answer = response.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise AdminError(
                f"{what}: the database's administration does not answer ({type(error).__name__}).",
                "Look at balancebook status.",
            ) from error
        if answer.get("status") != 200:
            raise AdminError(f"{what} was refused: {answer.get('error', 'no reason given')}.")
        return answer.get("value")


def data_folder(data: Path, keyspace: str, table: str, table_id: str) -> Path:
    """The folder of one table's SSTables below a node's data folder; `table_id` is that of system_schema.

    A dropped table's folder stays on disk under another id, so the id must be part of the name.
    """
    return data / keyspace / f"{table}-{table_id.replace('-', '')}"


def _copied(folder: Path, target: Path) -> Iterator[str]:
    """Copy each SSTable under a staged generation; yields the new names of the files."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    matches = [match for match in map(_SSTABLE.fullmatch, names) if match]
    generations = {match["version"] + match["generation"] for match in matches}
    numbers = {found: _STAGED_GENERATION + place for place, found in enumerate(sorted(generations))}
    for match in matches:
        number = numbers[match["version"] + match["generation"]]
        name = f"{match['version']}-{number}-{match['rest']}"
        shutil.copyfile(folder / match.string, target / name)
        yield name
