"""HTML pages that need nothing beside them, made of a package's `page.html`."""

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_page(package: str, **values: Any) -> str:
    """Fills in the template of `package`, where the filter `data_uri` turns a PNG's bytes into a link."""
    environment = Environment(
        loader=PackageLoader(package, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    return environment.get_template("page.html").render(values)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
