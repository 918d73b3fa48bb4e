"""The data lake: a port with two adapters (a folder, ADLS Gen2), its paths and its errors."""

from libs.common.lake.checksums import FileDigest, sha256_file
from libs.common.lake.errors import (
    LakeAccessError,
    LakeError,
    LakeFileExistsError,
    LakeFileNotFoundError,
    LakeFullError,
    LakeMissingError,
    LakePathError,
    LakeUnavailableError,
    LakeUrlError,
)
from libs.common.lake.factory import open_lake
from libs.common.lake.folder import FolderLake
from libs.common.lake.port import FileInfo, Lake

__all__ = [
    "FileDigest",
    "FileInfo",
    "FolderLake",
    "Lake",
    "LakeAccessError",
    "LakeError",
    "LakeFileExistsError",
    "LakeFileNotFoundError",
    "LakeFullError",
    "LakeMissingError",
    "LakePathError",
    "LakeUnavailableError",
    "LakeUrlError",
    "open_lake",
    "sha256_file",
]
