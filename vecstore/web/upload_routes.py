"""The part of the HTTP API that takes pictures to be kept."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from vecstore.web.responses import answer
from vecstore.web.routes import PICTURE, PROBLEMS, Here
from vecstore.web.uploads import Upload, receive

uploads = APIRouter(prefix="/api", responses=PROBLEMS)


@uploads.post(
    "/uploads",
    response_model=Upload,
    status_code=201,
    tags=["jobs"],
    openapi_extra={"requestBody": {"required": True, **PICTURE}},
)
async def upload(
    server: Here, request: Request, name: Annotated[str, Query(min_length=1, max_length=1_000)]
) -> Response:
    """Keep the picture that is the body in the server's folder for uploads; a job can add it then.

    Nothing there is overwritten: another picture of the same name gets a number, and the same one is kept once.
    """
    folder, most = server.settings.uploads, server.settings.max_upload_bytes
    if folder is None:
        raise HTTPException(403, "pictures cannot be sent to this server; start it with --uploads FOLDER")
    declared = request.headers.get("content-length", "")
    expected = int(declared) if declared.isdigit() and len(declared) < 20 else 0
    if expected > most:  # not even begun
        raise HTTPException(413, f"the picture is larger than the limit of {most:,} bytes")
    async with server.uploads:
        try:
            return answer(await receive(folder, name, request.stream(), expected), 201)
        except ClientDisconnect as error:
            raise HTTPException(400, "the picture did not come whole, and nothing of it is kept") from error
