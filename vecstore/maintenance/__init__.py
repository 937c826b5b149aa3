"""Looking after a store: check, compact, backup, export, migration, capacity."""
