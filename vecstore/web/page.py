"""The page's HTML, which names all of its modules: a browser asks for them at once, and not for one after the other."""

import functools
import re
from pathlib import Path, PurePosixPath

STATIC = Path(__file__).parent / "static"
MARK = "<!-- modules -->"
_IMPORT = re.compile(r"""^\s*(?:import|export)\b[^;]*?["'](\.{1,2}/[\w./-]+\.js)["'];""", re.MULTILINE)


@functools.cache
def html() -> str:
    """Return index.html with a link to each module of the page."""
    links = [f'<link rel="modulepreload" href="static/{module}">' for module in modules()]
    return (STATIC / "index.html").read_text().replace(MARK, "\n".join(links))


def modules(first: str = "app.js") -> list[str]:
    """Return the modules that a module imports as it is loaded, and those that these do; not those of `import()`."""
    found, left = {first}, [first]
    while left:
        module = left.pop()
        for name in _IMPORT.findall((STATIC / module).read_text()):
            other = _normal(PurePosixPath(module).parent / name)
            if other not in found:
                found.add(other)
                left.append(other)
    return sorted(found)


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
