"""Everything that speaks to the database server: connecting, reading, introspection, health, scans."""
