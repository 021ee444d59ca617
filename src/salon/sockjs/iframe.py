"""The page that a SockJS client of another site loads into a hidden iframe.

Inside it a client of the same version runs on *our* origin and speaks for the page
around it, by ``postMessage``. Who may be that page is for the headers of the answer to
say (``frame-ancestors``); the text is the protocol's.
"""

import base64
import hashlib
import html
from dataclasses import dataclass
from urllib.parse import urlsplit

_BOOTSTRAP = """
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  """

_PAGE = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="%s"></script>
  <script>%s</script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"""


@dataclass(frozen=True, slots=True)
class IframePage:
    """The page, its ETag, and what its scripts ask of a content security policy."""

    body: bytes
    etag: str
    script_sources: str


def page(script: str) -> IframePage:
    """The page that loads the client at the address ``script``.

    Raises:
        ValueError: ours; the address is neither a path nor http(s).
    """
    parts = urlsplit(script)
    if parts.scheme in {"http", "https"} and parts.hostname:
        origin = f"{parts.scheme}://{parts.netloc}"
    elif not parts.scheme and not parts.netloc and script.startswith("/"):
        origin = "'self'"
    else:
        raise ValueError(f"{script!r} is no address of a script: write a path or URL")
    body = (_PAGE % (html.escape(script), _BOOTSTRAP)).encode()
    inline = base64.b64encode(hashlib.sha256(_BOOTSTRAP.encode()).digest()).decode()
    etag = '"' + hashlib.sha256(body).hexdigest()[:32] + '"'
    return IframePage(body, etag, f"{origin} 'sha256-{inline}'")
