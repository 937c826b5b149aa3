"""Pages that are one file: everything in them, nothing from elsewhere, and a policy that says so to the browser."""

import base64
import hashlib
from html import escape


def policy(style: str, script: str = "") -> str:
    """Return a Content-Security-Policy that allows this style sheet, this script, pictures in the page, and no more."""
    sources = {"style-src": style, "script-src": script}
    hashes = {name: f"'sha256-{_sha256(text)}'" if text else "'none'" for name, text in sources.items()}
    allowed = "; ".join(f"{name} {source}" for name, source in hashes.items())
    return f"default-src 'none'; img-src data:; {allowed}; base-uri 'none'; form-action 'none'"


def page(title: str, style: str, body: str, script: str = "") -> str:
    """Return a page. title: text; style, body and script as they are to stand there."""
    run = f"<script>{script}</script>" if script else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(style, script)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{escape(title)}</title>\n'
        f"<style>{style}</style>\n</head>\n<body>\n{body}\n{run}</body>\n</html>\n"
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
