"""The client over real HTTP: what is tried again and how patiently, what is refused, and under which name."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.extractor.client import MAX_RETRY_AFTER_SEC
from services.extractor.errors import (
    ApiAuthError,
    ApiBusyError,
    ApiMalformedError,
    ApiResponseError,
    ApiTimeoutError,
    ApiUnreachableError,
)
from tests.integration.kits import WEEK


@pytest.mark.parametrize("fault", ["429", "500", "502", "503", "504", "truncate", "disconnect", "invalid_json"])
async def test_what_may_pass_is_tried_again_until_it_has_passed(shop: Any, client: Any, fault: str) -> None:
    api = await shop(faults={"script": {"2": [fault, fault]}, "retry_after": "none"})
    page = await (await client(api.url)).numbered_page(WEEK, 2)
    assert page.records == 10
    assert await api.requests() == {2: 3}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("429", ApiBusyError),
        ("503", ApiBusyError),
        ("truncate", ApiMalformedError),
        ("disconnect", ApiMalformedError),
        ("invalid_json", ApiMalformedError),
    ],
)
async def test_what_does_not_pass_ends_after_the_retries_with_the_number_of_the_page(
    shop: Any, client: Any, fault: str, kind: type[Exception]
) -> None:
    api = await shop(faults={"script": {"7": [fault] * 9}})
    with pytest.raises(kind, match=r"[Pp]age 7"):
        await (await client(api.url, api_max_retries=2)).numbered_page(WEEK, 7)
    assert await api.requests() == {7: 3}


async def test_waits_grow_and_are_never_quite_the_same(shop: Any, client: Any, clock: Any) -> None:
    api = await shop(faults={"script": {"1": ["500"] * 10}})
    with pytest.raises(ApiBusyError):
        await (await client(api.url, api_max_retries=9)).numbered_page(WEEK, 1)
    waits = clock.slept
    assert [0.5 * 2**n <= wait <= 0.5 * 2**n + 0.5 for n, wait in enumerate(waits[:6])] == [True] * 6
    assert max(waits) <= 30
    assert len({wait % 0.5 for wait in waits[:6]}) == 6


async def test_a_retry_after_in_seconds_is_what_is_waited(shop: Any, client: Any, clock: Any) -> None:
    api = await shop(faults={"script": {"1": ["429", "503"]}, "retry_after_sec": 17})
    await (await client(api.url)).numbered_page(WEEK, 1)
    assert clock.slept == [17, 17]


async def test_a_retry_after_as_a_date_is_waited_until(serve: Any, client: Any, clock: Any) -> None:
    at = clock.now() + timedelta(seconds=42)
    answers = iter([web.Response(status=429, headers={"Retry-After": f"{at:%a, %d %b %Y %H:%M:%S GMT}"})])

    async def answer(_: web.Request) -> web.Response:
        return next(answers, web.json_response([{}]))

    await (await client(await serve(answer))).numbered_page(WEEK, 1)
    assert clock.slept == [42]


async def test_an_endless_retry_after_is_cut(shop: Any, client: Any, clock: Any) -> None:
    api = await shop(faults={"script": {"1": ["503"]}, "retry_after_sec": 86_400})
    await (await client(api.url)).numbered_page(WEEK, 1)
    assert clock.slept == [MAX_RETRY_AFTER_SEC]


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("another", 403)])
async def test_a_key_that_is_not_accepted_is_told_at_once_and_not_repeated(
    shop: Any, client: Any, key: str | None, status: int
) -> None:
    api = await shop()
    with pytest.raises(ApiAuthError, match=str(status)) as caught:
        await (await client(api.url, api_key=key)).numbered_page(WEEK, 1)
    assert "another" not in str(caught.value)
    assert (await api.stats())["by_status"] == {str(status): 1}


async def test_a_key_may_travel_bare_in_a_header_of_the_apis_choosing(shop: Any, client: Any) -> None:
    api = await shop(auth_header="X-Api-Key")
    page = await (await client(api.url, api_key_header="X-Api-Key")).numbered_page(WEEK, 1)
    assert page.records == 10


@pytest.mark.parametrize("status", [204, 400, 404, 410, 501])
async def test_another_status_is_an_error_at_once(serve: Any, client: Any, status: int) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.method)
        return web.Response(status=status)

    with pytest.raises(ApiResponseError, match=f"answered {status} to page 1"):
        await (await client(await serve(answer))).numbered_page(WEEK, 1)
    assert asked == ["GET"]


async def test_a_page_past_the_end_that_is_not_found_is_empty(serve: Any, client: Any) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=404)

    assert (await (await client(await serve(answer))).numbered_page(WEEK, 2)).records == 0


async def test_an_api_that_is_not_there_is_unreachable_after_the_retries(client: Any, clock: Any) -> None:
    with pytest.raises(ApiUnreachableError, match=r"127\.0\.0\.1"):
        await (await client(f"http://127.0.0.1:{unused_port()}")).numbered_page(WEEK, 1)
    assert len(clock.slept) == 3


async def test_an_answer_that_does_not_come_is_a_time_out_that_is_tried_again(serve: Any, client: Any) -> None:
    never = asyncio.Event()
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query["page"])
        await never.wait()
        return web.Response()

    with pytest.raises(ApiTimeoutError, match=r"Page 4 was not complete after 0\.05 s"):
        await (await client(await serve(answer), api_timeout_sec=0.05, api_max_retries=1)).numbered_page(WEEK, 4)
    never.set()
    assert asked == ["4", "4"]


async def test_the_key_never_follows_a_redirect_to_another_host(shop: Any, serve: Any, client: Any) -> None:
    visits: list[str] = []

    async def other(request: web.Request) -> web.Response:
        visits.append(request.path)
        return web.json_response([])

    elsewhere = await serve(other)
    api = await shop(faults={"script": {"1": ["redirect"]}, "redirect_to": elsewhere})
    with pytest.raises(ApiResponseError, match="leads to another host") as caught:
        await (await client(api.url)).numbered_page(WEEK, 1)
    assert "API_BASE_URL" in caught.value.next_step
    assert visits == []


async def test_a_redirect_within_the_host_is_followed_with_the_key(shop: Any, client: Any) -> None:
    api = await shop(faults={"script": {"1": ["redirect"]}})
    await api.break_down(script={"1": ["redirect"]}, redirect_to=api.url)
    assert (await (await client(api.url)).numbered_page(WEEK, 1)).records == 10


async def test_redirects_in_a_circle_end(shop: Any, client: Any) -> None:
    api = await shop()
    await api.break_down(pct={"redirect": 100}, max_per_page=0, redirect_to=api.url)
    with pytest.raises(ApiResponseError, match="redirects more than 5 times"):
        await (await client(api.url)).numbered_page(WEEK, 1)


@pytest.mark.parametrize("location", ["http://[half", "mailto:somebody"])
async def test_a_redirect_to_no_url_is_an_error(serve: Any, client: Any, location: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    with pytest.raises(ApiResponseError, match="Page 1 leads to"):
        await (await client(await serve(answer))).numbered_page(WEEK, 1)


@pytest.mark.parametrize("coding", list(web.ContentCoding))
async def test_a_body_without_end_is_given_up_at_the_limit(serve: Any, client: Any, coding: web.ContentCoding) -> None:
    async def answer(_: web.Request) -> web.Response:
        response = web.Response(body=b"[" + b" " * 5_000_000 + b"]")
        response.enable_compression(coding)
        return response

    with pytest.raises(ApiResponseError, match=r"API_MAX_BODY_BYTES \(10,000\)"):
        await (await client(await serve(answer), api_max_body_bytes=10_000)).numbered_page(WEEK, 1)


async def test_a_compressed_page_arrives_byte_for_byte(shop: Any, client: Any) -> None:
    plain, packed = [await (await client((await shop(gzip=gzip)).url)).numbered_page(WEEK, 3) for gzip in (False, True)]
    assert plain == packed


async def test_all_requests_share_one_rate(shop: Any, client: Any, clock: Any) -> None:
    api = await shop()
    connected = await client(api.url, api_rate_limit_per_sec=4)
    await asyncio.gather(*(connected.numbered_page(WEEK, number) for number in range(1, 9)))
    assert clock.seconds == pytest.approx(sum(clock.slept))
    assert len(clock.slept) == 7, "the first need not wait, all others must"


async def test_a_certificate_that_nobody_vouches_for_is_refused(client: Any, tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response([])

    app = web.Application()
    app.router.add_get("/events", answer)
    async with TestServer(app, scheme="https") as server:
        await server.start_server(ssl=_self_signed(tmp_path))
        with pytest.raises(ApiUnreachableError, match="certificate"):
            await (await client(f"https://localhost:{server.port}", api_max_retries=0)).numbered_page(WEEK, 1)


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    both = folder / "server.pem"
    unlocked = serialization.NoEncryption()
    both.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unlocked)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context
