"""Decisions about pictures, and acts on their files: written down before and after, checked by content, undone."""
