"""A local Azure Data Lake Storage Gen2 account: the calls of the official SDKs, on one port, kept on disk.

python -m libs.emulators.datalake --port 0 --container lake --data ./lake-data
"""
