"""The demo exchange: an embedded Cassandra, seeded data, a gateway. It refuses any cluster that it did not start."""
