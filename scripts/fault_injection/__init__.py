"""scripts/torture: what is done to stores to show that they lose nothing (docs/durability.md, "How it is shown")."""
