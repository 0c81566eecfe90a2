"""Requests to S3 that wait out its failures, and the messages for its refusals."""

import logging
import os
import re
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore import exceptions as aws
from botocore.config import Config

from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.retry import GaveUp, retry

_PATIENCE = 120.0  # seconds from the first failure to giving up
_READ_TIMEOUT = 20.0  # seconds

_BUSY_STATUS = {408, 429, 500, 502, 503, 504}
_BUSY = {
    *("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "InternalError"),
    *("RequestTimeout", "ServiceUnavailable", "IncompleteBody", "BadDigest"),
    *("OperationAborted", "ConditionalRequestConflict"),
}
_CREDENTIALS = {
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"),
    *("TokenRefreshRequired", "InvalidSecurity", "AuthorizationHeaderMalformed"),
}
_NO_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.TokenRetrievalError,
    aws.SSOError,
)
_TIMEOUTS = (aws.ConnectTimeoutError, aws.ReadTimeoutError)
FAILURES = (aws.ClientError, aws.BotoCoreError)
_INVALID_TLS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER")

_lock = threading.Lock()
_often_enough = Every(10.0)  # a line for all threads of a process
T = TypeVar("T")


def request(uri: str, attempt: Callable[[Any], T], expected: tuple[int, ...] = ()) -> T:
    """Call `attempt` with a client until it is answered; wait for a server that does not answer.

    Args:
        uri: URI of the store, for messages.
        attempt: sends one request.
        expected: HTTP statuses that are answers.

    Raises:
        UserError: the server refuses, at once; or it has not answered for two minutes.
        ClientError: the answer has one of the expected HTTP statuses.
    """

    def reason(error: Exception) -> str:
        if not isinstance(error, FAILURES):
            return ""
        trouble = _trouble(error)
        is_expected = _status(error) in expected and error_code(error) != "NoSuchBucket"
        if not trouble and not is_expected:
            raise refusal(uri, error) from None
        return trouble

    def say_waiting(trouble: str, left: float) -> None:
        say(
            f"{uri}: waiting for the object store at {_host()} ({trouble}), "
            f"for up to {left:.0f} more seconds"
        )

    try:
        return retry(
            uri,
            lambda: attempt(client()),
            reason,
            patience=_PATIENCE,
            say_waiting=say_waiting,
            say_over=lambda _: say(f"{uri}: the object store answers again"),
        )
    except GaveUp as error:
        raise UserError(
            f"{uri}: the object store at {_host()} has not answered for "
            f"{error.seconds:.0f} seconds ({error.reason}); check it and AWS_ENDPOINT_URL_S3, "
            "then run again"
        ) from None


def no_bucket(uri: str) -> UserError:
    """Return the error of a missing bucket."""
    return UserError(f"{uri}: there is no such bucket at {_host()}; create it, or correct its name")


def refusal(uri: str, error: Exception) -> UserError:
    """Return the error for the user, without the server's own text, which may have key ids."""
    code = re.sub(r"[^A-Za-z0-9]", "", error_code(error))[:40] or type(error).__name__
    if code == "NoSuchBucket":
        return no_bucket(uri)
    if isinstance(error, _NO_CREDENTIALS):
        return UserError(
            f"{uri}: no credentials ({code}); set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    if code in _CREDENTIALS:
        return UserError(
            f"{uri}: the object store at {_host()} rejects these credentials "
            f"({code}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_DEFAULT_REGION"
        )
    if _status(error) in (401, 403):
        return UserError(
            f"{uri}: the object store at {_host()} refuses access ({code}); check "
            "the credentials and their rights on this bucket"
        )
    status = _status(error)
    if status >= 500 and status != 501:  # that is for a request which no S3 service lacks
        trouble = "is full; free some space" if status == 507 else f"fails ({status}); check it"
        return UserError(f"{uri}: the object store at {_host()} {trouble}, then run again")
    return UserError(
        f"{uri}: the object store at {_host()} rejects the request ({code}); "
        "check that AWS_ENDPOINT_URL_S3 is an S3 service"
    )


def _status(error: Exception) -> int:
    if not isinstance(error, aws.ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def error_code(error: Exception) -> str:
    """Return S3's name of an error, such as NoSuchKey; empty for errors of other origin."""
    if not isinstance(error, aws.ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", ""))


def _trouble(error: Exception) -> str:
    """Return a few words about an error that may pass by itself; empty for others."""
    if error_code(error) in _BUSY or _status(error) in _BUSY_STATUS:
        return f"HTTP status {_status(error)}"
    if isinstance(error, aws.SSLError) and any(text in str(error) for text in _INVALID_TLS):
        return ""
    if isinstance(error, _TIMEOUTS):
        return "timeout"
    if isinstance(error, aws.ConnectionError | aws.HTTPClientError | aws.IncompleteReadError):
        return "no connection"
    return ""


def _host() -> str:
    host: str = urlsplit(client().meta.endpoint_url).netloc.rpartition("@")[2]
    return host


def client() -> Any:
    """Return this process's client, which threads share; a new one once the settings change."""
    return _client_and_session()[0]


def secret_key() -> str:
    """Return the key that the client signs with now; empty without credentials."""
    credentials = _client_and_session()[1].get_credentials()
    return "" if credentials is None else str(credentials.get_frozen_credentials().secret_key)


def _client_and_session() -> tuple[Any, boto3.session.Session]:
    with _lock:
        return _make_client(
            frozenset(item for item in os.environ.items() if item[0].startswith("AWS_"))
        )


@cache
def _make_client(settings: frozenset[tuple[str, str]]) -> tuple[Any, boto3.session.Session]:
    for name in ("boto3", "botocore", "s3transfer", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # their detailed logs show signatures
    names = {name for name, value in settings if value}
    own_endpoint = bool(names & {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"})
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},  # `request` retries
        connect_timeout=5,
        read_timeout=_READ_TIMEOUT,
        max_pool_connections=64,
        signature_version="s3v4",
        # A bucket's name in the host's name needs DNS entries, which few servers have.
        s3={"addressing_style": "path"} if own_endpoint else None,
    )
    try:
        session = boto3.session.Session()
        client = session.client("s3", config=config)
    except (ValueError, aws.BotoCoreError) as error:
        raise UserError(
            f"the AWS_* settings are not usable ({type(error).__name__}); check AWS_PROFILE, and "
            "that AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL) has the form http://host:port"
        ) from None
    client.meta.events.register("needs-retry.s3", _say_timeout)
    return client, session


def _say_timeout(caught_exception: Exception | None = None, **_: Any) -> None:
    if isinstance(caught_exception, _TIMEOUTS) and _often_enough():
        say("no answer from the object store yet (timeout), trying again")
