"""The API against its own description: whatever is sent, no answer is a failure of the server's.

schemathesis makes requests from `/openapi.json`, right ones and wrong ones, and checks the answers against it.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving import copy_of, make_store
from vecstore.web.app import create_app
from vecstore.web.settings import Settings

HOST = {"Host": "127.0.0.1"}


def not_a_failure(context: Any, response: Any, case: Any) -> bool | None:
    """Say whether the server has failed; that a job writes to the store, which one of these requests began, is none."""
    return None if response.status_code == 503 else not_a_server_error(context, response, case)


CHECKS = [not_a_failure, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("schema")
    # Jobs may only be asked for: nothing is added from anywhere, and none is waited for.
    app = create_app(Settings(copy_of(make_store(folder), folder / "copy"), roots=()))
    yield schemathesis.openapi.from_asgi("/openapi.json", app, headers=HOST)
    app.state.server.jobs.close()


def test_no_request_is_too_much_for_the_server(api: Any) -> None:
    """By hand rather than by schemathesis's decorator, which pytest 9.2 and its plugin do not agree on."""
    operations = [found.ok() for found in api.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:

        @settings(
            max_examples=12, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def asked(case: Any) -> None:
            case.call_and_validate(headers=HOST, checks=CHECKS)

        asked()
