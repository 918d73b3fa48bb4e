"""What LAKE_URL may be, and what is said about what it may not be."""

import subprocess
import sys
from pathlib import Path

import pytest
from azure.core.credentials import AccessToken
from pydantic import SecretStr

from libs.common.lake import FolderLake, LakeUrlError, open_lake

KEY = "c2VjcmV0"
SECRET = f"AccountName=acct;AccountKey={KEY};EndpointSuffix=core.windows.net"
URL = "abfss://lake@acct.dfs.core.windows.net"


class Credential:
    """A credential that is never asked, and knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    async def get_token(self, *scopes: str, **kwargs: object) -> AccessToken:
        raise AssertionError("no request is made by these tests")

    async def close(self) -> None:
        self.closed = True

    async def __aenter__(self) -> "Credential":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@pytest.mark.parametrize("form", ["file://{}", "file://localhost{}"])
def test_a_folder_is_opened_by_its_url(tmp_path: Path, form: str) -> None:
    lake = open_lake(form.format(f"{tmp_path}/with%20blank"))
    assert isinstance(lake, FolderLake)
    assert lake.url == f"file://{tmp_path}/with%20blank"


def test_a_folder_lake_does_not_load_the_azure_sdk(tmp_path: Path) -> None:
    code = (
        "import sys; from libs.common.lake import open_lake as o; o(sys.argv[1]); print('azure.storage' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path.as_uri()], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("secret", [SECRET, SecretStr(SECRET)])
async def test_an_account_key_opens_the_account_it_belongs_to(secret: str | SecretStr) -> None:
    lake = open_lake(f"{URL}/some/prefix/", connection_string=secret)
    assert lake.url == f"{URL}/some/prefix"
    await lake.aclose()


async def test_a_credential_of_the_caller_stays_open() -> None:
    credential = Credential()
    lake = open_lake(URL, credential=credential)
    await lake.aclose()
    assert not credential.closed


async def test_without_a_credential_the_default_one_is_used_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    from libs.common.lake import adls

    credential = Credential()
    monkeypatch.setattr(adls, "DefaultAzureCredential", lambda: credential)
    lake = open_lake(URL, connection_string=SecretStr(""))
    await lake.aclose()
    assert credential.closed


@pytest.mark.parametrize(
    "url",
    [
        "", "/tmp/lake", "s3://bucket/x", "abfs://lake@acct.dfs.x", "https://acct.dfs.core.windows.net/lake",
        "file://relative/dir", "file:///", "file:relative", "file://[x", "abfss://acct.dfs.core.windows.net/lake",
        "abfss://lake@acct", "abfss://lake@acct.blob.core.windows.net", "abfss://@acct.dfs.core.windows.net",
        "abfss://lake:pass@acct.dfs.core.windows.net", "abfss://lake@acct.dfs.core.windows.net:443/x",
    ],
)  # fmt: skip
def test_other_urls_are_refused_with_the_forms_that_work(url: str) -> None:
    with pytest.raises(LakeUrlError) as caught:
        open_lake(url, connection_string=SECRET)
    assert "file:///absolute/dir" in caught.value.next_step
    assert "abfss://container@account" in caught.value.next_step
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize("url", [f"{URL}?sv=2020&sig=signature", "file:///tmp/x#signature"])
def test_a_url_with_a_token_in_it_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(LakeUrlError) as caught:
        open_lake(url)
    assert "signature" not in str(caught.value)


@pytest.mark.parametrize(
    "secret",
    [f"nonsense {KEY}", f"AccountKey={KEY}", f"AccountName=other;AccountKey={KEY}",
     f"AccountName=acct;AccountKey={KEY};DfsEndpoint=http://127.0.0.1:10000/acct"],
)  # fmt: skip
def test_a_connection_string_that_would_go_elsewhere_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(LakeUrlError) as caught:
        open_lake(URL, connection_string=secret)
    assert KEY not in str(caught.value)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LakeUrlError, match="a file"):
        open_lake((tmp_path / "file").as_uri())
