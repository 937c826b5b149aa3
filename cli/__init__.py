"""The command line: thin shells over the library. Nothing heavy is imported before a command runs."""
