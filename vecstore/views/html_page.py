"""Pages that are one file: everything in them, nothing from elsewhere, and a policy that says so to the browser."""

import base64
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


def templates(**filters: Callable[..., Any]) -> "jinja2.Environment":
    """Return what renders `vecstore/templates`, escaping every value that is not Markup. filters: more of them."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("vecstore"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(filters)
    return made


def policy(style: str, script: str = "") -> str:
    """Return a Content-Security-Policy that allows this style sheet, this script, pictures in the page, and no more."""
    sources = {"style-src": style, "script-src": script}
    hashes = {name: f"'sha256-{_sha256(text)}'" if text else "'none'" for name, text in sources.items()}
    allowed = "; ".join(f"{name} {source}" for name, source in hashes.items())
    return f"default-src 'none'; img-src data:; {allowed}; base-uri 'none'; form-action 'none'"


def page(title: str, style: str, body: str, script: str = "") -> str:
    """Return a page. title: text; style, body and script as they are to stand there."""
    from markupsafe import Markup

    return (
        templates()
        .get_template("page.html.j2")
        .render(
            title=title,
            policy=Markup(policy(style, script)),
            style=Markup(style),
            body=Markup(body),
            script=Markup(script),
        )
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
