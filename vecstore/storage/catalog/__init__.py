"""The catalog: SQLite, the truth about everything but the vectors' bytes. All SQL of the project is in this package."""
