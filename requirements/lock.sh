#!/bin/sh
# Resolve pyproject.toml into exact, hashed versions for every Python that the project supports, without addresses.
# requirements/dev.txt holds everything; requirements/<name>.txt what one image needs, in the same versions.
# requirements/baseline.txt is installed beside the environment: pyarrow would import pandas in every process that has it.
set -eu
cd "$(dirname "$0")/.."
compile() {
  uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate \
    --no-header --generate-hashes "$@"
}
compile pyproject.toml --extra dev --output-file requirements/dev.txt
for service in extractor validator loader gate sf_sync emulators cli; do
  compile pyproject.toml --extra "$service" --extra telemetry --constraints requirements/dev.txt --output-file "requirements/$service.txt"
done
compile pyproject.toml --extra odbc --constraints requirements/dev.txt --output-file requirements/odbc.txt
compile requirements/baseline.in --constraints requirements/dev.txt --output-file requirements/baseline.txt
