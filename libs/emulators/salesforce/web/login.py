"""The log-in endpoints: OAuth's token endpoint and SOAP's ``login()``."""

from __future__ import annotations

import base64
import binascii
import time
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from aiohttp import web

from libs.emulators.salesforce.auth import ORG_ID, LoginRefused
from libs.emulators.salesforce.database import DEFAULT_USER_ID
from libs.emulators.salesforce.errors import ApiError
from libs.emulators.salesforce.web.gate import Handler
from libs.emulators.salesforce.web.responses import ORG, json_response

PUBLIC_URL = web.AppKey("public_url", str)
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_PARTNER = "{urn:partner.soap.sforce.com}"


async def token(request: web.Request) -> web.Response:
    """Answer ``POST /services/oauth2/token`` for the client credentials, JWT bearer and password grants."""
    url = public_url(request)
    try:
        access_token = await _grant(request, (url, str(request.url.origin())))
    except LoginRefused as refused:
        return json_response({"error": refused.error, "error_description": refused.description}, status=400)
    return json_response(
        {
            "access_token": access_token,
            "scope": "api",
            "instance_url": url,
            "id": f"{url}/id/{ORG_ID}/{DEFAULT_USER_ID}",
            "token_type": "Bearer",
            "issued_at": str(int(time.time() * 1000)),
            "api_instance_url": url,
        }
    )


async def _grant(request: web.Request, audiences: tuple[str, ...]) -> str:
    org = request.app[ORG]
    form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    client_id, client_secret = _basic(request) or (form.get("client_id", ""), form.get("client_secret", ""))
    match form.get("grant_type"):
        case "client_credentials":
            return await org.write(org.auth.client_credentials, client_id, client_secret)
        case grant if grant == _JWT_GRANT:
            return await org.write(org.auth.jwt_bearer, form.get("assertion", ""), audiences)
        case "password":
            username, password = form.get("username", ""), form.get("password", "")
            return await org.write(org.auth.oauth_password, client_id, client_secret, username, password)
        case _:
            raise LoginRefused("unsupported_grant_type", "grant type not supported")


def public_url(request: web.Request) -> str:
    """The address that clients are told to use: the configured one, or the one that they used."""
    return request.app[PUBLIC_URL] or str(request.url.origin())


def _basic(request: web.Request) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, secret


async def soap_login(request: web.Request) -> web.Response:
    """Answer ``POST /services/Soap/u/{version}`` with the body of a partner ``login()``."""
    org = request.app[ORG]
    version = request.match_info["version"]
    try:
        username, password = _soap_credentials(await request.read())
        access_token = await org.write(org.auth.soap_login, username, password, float(version))
    except LoginRefused as refused:
        return _soap_fault(refused.error, refused.description)
    url = public_url(request)
    return _soap(
        f"<loginResponse><result><metadataServerUrl>{url}/services/Soap/m/{version}/{ORG_ID}</metadataServerUrl>"
        f"<passwordExpired>false</passwordExpired><sandbox>true</sandbox>"
        f"<serverUrl>{url}/services/Soap/u/{version}/{ORG_ID}</serverUrl><sessionId>{escape(access_token)}</sessionId>"
        f"<userId>{DEFAULT_USER_ID}</userId></result></loginResponse>"
    )


def _soap_credentials(body: bytes) -> tuple[str, str]:
    try:
        login = ElementTree.fromstring(body).find(f".//{_PARTNER}login")
    except ElementTree.ParseError as error:
        raise LoginRefused("UNKNOWN_EXCEPTION", f"The envelope is no XML: {error}") from error
    if login is None:
        raise LoginRefused("INVALID_OPERATION", "Only login() is spoken here")
    return login.findtext(f"{_PARTNER}username", ""), login.findtext(f"{_PARTNER}password", "")


def own_errors(handler: Handler) -> Handler:
    """Put a refusal that came from outside the handler into the form of the log-in: OAuth's object, SOAP's fault.

    Above 500 it stays as it is: then a gateway answers, which knows neither.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            if "/Soap/" in request.path and error.status == 500:
                return _soap_fault(error.code, error.message)
            if "/oauth2/" in request.path and error.status <= 500:
                return json_response({"error": error.code, "error_description": error.message}, status=error.status)
            raise

    return handle


def _soap_fault(code: str, message: str) -> web.Response:
    return _soap(
        "<soapenv:Fault><faultcode>sf:{0}</faultcode><faultstring>{0}: {1}</faultstring><detail><sf:LoginFault "
        'xsi:type="sf:LoginFault"><sf:exceptionCode>{0}</sf:exceptionCode><sf:exceptionMessage>{1}'
        "</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>".format(escape(code), escape(message)),
        status=500,
    )


def _soap(content: str, *, status: int = 200) -> web.Response:
    return web.Response(
        text='<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
        'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com" '
        'xmlns:sf="urn:fault.partner.soap.sforce.com" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<soapenv:Body>{content}</soapenv:Body></soapenv:Envelope>",
        status=status,
        content_type="text/xml",
    )
