"""A connection to one Milvus that outlives the server's restarts, and says in one line what is wrong.

pymilvus is imported here alone, when first needed. Credentials come from the environment and go nowhere else.
"""

import importlib.util
import logging
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from vecstore.engines.address import Address
from vecstore.errors import BadInput, EngineRefused, EngineUnavailable

if TYPE_CHECKING:
    from pymilvus import MilvusClient

log = logging.getLogger(__name__)
T = TypeVar("T")

TOKEN, USER, PASSWORD = "VECSTORE_MILVUS_TOKEN", "VECSTORE_MILVUS_USER", "VECSTORE_MILVUS_PASSWORD"
PATIENCE = "VECSTORE_MILVUS_PATIENCE"
DEFAULT_PATIENCE_SECONDS = 60.0
FIRST_DELAY_SECONDS, MOST_DELAY_SECONDS = 0.1, 4.0
# One attempt; the client itself tries again within it when a connection breaks.
CALL_SECONDS = 20.0
OLDEST = (2, 3)  # the first with upsert
MOST_ROWS = 16_384  # Milvus answers no query and no search with more

# What a server says that is stopping, starting, or was just started and is still loading what it has.
PASSING = re.compile(
    r"unavailable|server is not ready|not healthy|not serving|unhealthy|connection (refused|reset)|failed to connect|"
    r"fail connecting|deadline|timeout|timed out|not (fully )?loaded|no available|not available|channel not|"
    r"node (not match|offline|not found)|not found in (session|node)|goaway|socket closed|lacks? (of )?channel|"
    r"distribution|delegator|stopping|abnormal|rate limit|closed channel|no shard leader",
    re.IGNORECASE,
)
NO_ROOM = re.compile(
    r"quota|insufficient|out ?of ?(memory|disk)|no space|memory .*exceed|exceed.*memory", re.IGNORECASE
)
LITE_IN_USE = "Open local milvus failed"
NOT_ALLOWED = re.compile(r"auth check|unauthenticated|permission ?deny|permission ?denied|privilege", re.IGNORECASE)


class Connection:
    """Makes calls on a Milvus; connects for the first, and again after each that the connection broke in."""

    def __init__(self, address: Address) -> None:
        self.shown = address.shown
        self._address = address
        self._client: MilvusClient | None = None

    def call(self, function: Callable[["MilvusClient", float], T], seconds: float = CALL_SECONDS) -> T:
        """Return function(client, seconds), trying for a while if the server is away or not ready.

        function: may be called again after it did its work and the answer was lost. seconds: that one attempt may take.
        Raises EngineUnavailable when patience has run out, EngineRefused for what would fail again.
        """
        pymilvus = _pymilvus()
        import grpc  # comes with pymilvus, which lets some of its errors through
        import tenacity

        failures = (pymilvus.exceptions.MilvusException, grpc.RpcError, grpc.FutureTimeoutError)
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, failures) and not self._refusal(error)),
            wait=tenacity.wait_exponential(FIRST_DELAY_SECONDS, MOST_DELAY_SECONDS),
            stop=tenacity.stop_before_delay(_patience()),
            before_sleep=_Reconnection(self),
            reraise=True,
        )
        try:
            result: T = attempts(lambda: function(self._connected(), seconds))
        except failures as error:
            waited = attempts.statistics["delay_since_first_attempt"]
            raise self._refusal(error) or EngineUnavailable(
                f"{self.shown} does not answer, after {waited:.0f} s of trying ({_said(error)}); see that Milvus runs "
                f"there, and run this again (${PATIENCE}: how many seconds to try)"
            ) from error
        return result

    def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            client.close()

    def _connected(self) -> "MilvusClient":
        if self._client is None:
            client = self._connect()
            try:
                self._require_version(client)
            except BaseException:
                client.close()
                raise
            self._client = client
        return self._client

    def _connect(self) -> "MilvusClient":
        address, pymilvus = self._address, _pymilvus()
        if address.is_lite:
            if importlib.util.find_spec("milvus_lite") is None:
                raise BadInput(f"{address.shown} needs milvus-lite; see docs/scaling.md, or `pip install milvus-lite`")
            os.makedirs(os.path.dirname(address.endpoint), exist_ok=True)
            return pymilvus.MilvusClient(address.endpoint)
        options: dict[str, Any] = {"db_name": address.database}
        if os.environ.get(TOKEN):
            options["token"] = os.environ[TOKEN]
        elif os.environ.get(USER):
            options |= {"user": os.environ[USER], "password": os.environ.get(PASSWORD, "")}
        if address.ca is not None:
            if not os.path.isfile(address.ca):
                raise BadInput(f"no file of certificates at {address.ca}; name the one of the server's authority")
            options["server_pem_path"] = address.ca  # `ca_pem_path` is read along with a client's certificate alone
        if address.server_name is not None:
            options["server_name"] = address.server_name
        return pymilvus.MilvusClient(address.endpoint, timeout=CALL_SECONDS, **options)

    def _require_version(self, client: "MilvusClient") -> None:
        version = str(client.get_server_version(timeout=CALL_SECONDS))
        numbers = re.search(r"(\d+)\.(\d+)", version)
        if not self._address.is_lite and (not numbers or (int(numbers[1]), int(numbers[2])) < OLDEST):
            raise EngineRefused(
                f"{self._address.shown} is Milvus {version}; {OLDEST[0]}.{OLDEST[1]} or newer is needed: upgrade it"
            )

    def _refusal(self, error: Exception) -> EngineRefused | None:
        """Return the error to raise for what another attempt would not change."""
        said, shown = _said(error), self._address.shown
        if NOT_ALLOWED.search(said):
            return EngineRefused(
                f"{shown} refuses these credentials ({said}); set ${TOKEN}, or ${USER} and ${PASSWORD}"
            )
        if NO_ROOM.search(said):
            return EngineRefused(
                f"{shown} has no room left ({said}); give Milvus more memory or disk, and run this again"
            )
        if LITE_IN_USE in said:
            return EngineRefused(
                f"{shown} is open in another process, and milvus-lite takes one at a time; wait until it ends"
            )
        return None if PASSING.search(said) else EngineRefused(f"{shown} refused: {said}")


class _Reconnection:
    """Prepare the next attempt of a call: drop the connection, and warn the user once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._has_warned = False

    def __call__(self, state: Any) -> None:
        if not self._has_warned and state.seconds_since_start > 1:
            said = _said(state.outcome.exception())
            log.warning("%s does not answer (%s); trying on", self._connection.shown, said)
            self._has_warned = True
        self._connection.close()


def _pymilvus() -> Any:
    # They log every failed call with a traceback on stderr; what is wrong is said by us, once. grpc is asked for what
    # milvus-lite has none of, a timestamp.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for talkative in ("pymilvus", "milvus_lite", "grpc._server"):
        logging.getLogger(talkative).setLevel(logging.CRITICAL)
    try:
        import pymilvus
    except ImportError as error:
        raise BadInput("a Milvus store needs pymilvus; install it with `pip install 'vecstore[milvus]'`") from error
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return pymilvus


def _said(error: Exception) -> str:
    # Of every failure to connect pymilvus says the same; gRPC's own error, which it came from, says why.
    own = next((e for e in (error, error.__cause__) if hasattr(e, "details") and hasattr(e, "code")), None)
    if own is not None:
        text = f"{own.code().name.lower()}: {own.details()}"
    else:
        text = " ".join(str(getattr(error, "message", "") or error or type(error).__name__).split())
    return text if len(text) <= 300 else f"{text[:297]}..."


def _patience() -> float:
    text = os.environ.get(PATIENCE, "")
    try:
        return float(text) if text else DEFAULT_PATIENCE_SECONDS
    except ValueError as error:
        raise BadInput(f"${PATIENCE} is {text!r}; give a number of seconds") from error
