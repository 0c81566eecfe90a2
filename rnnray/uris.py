"""Checks of paths and URIs that users give, before anything reads or repeats them."""

import re
from urllib.parse import unquote

from rnnray.errors import UserError

# s3://KEY:SECRET@bucket and ?secret_key=SECRET, which other programs accept.
_SECRETS = re.compile(
    r"://[^/?#]*:[^@]*@|[?&][^=&]*(key|secret|token|password)[^=&]*=", re.IGNORECASE
)


def check_uri(uri: str) -> None:
    """Refuse a path or URI that would show secrets in logs, or leads elsewhere than it seems to.

    Raises:
        UserError: credentials in a URI (the message does not repeat them), `..` in an object's key,
            or a null byte.
    """
    scheme, is_uri, rest = uri.partition("://")
    if is_uri and _SECRETS.search(uri):
        raise UserError(
            f"{scheme}://…: contains credentials, which logs would show; set AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY instead"
        )
    if "\0" in uri:
        raise UserError(f"{uri!r}: a path cannot contain a null byte")
    if scheme != "file" and ".." in unquote(rest).split("/"):
        raise UserError(f"{uri}: an object's key cannot contain '..'; write the full key")
