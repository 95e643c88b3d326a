#!/usr/bin/env bash
# fetch.sh FOLDER: fetch DuckDB and pyarrow, pinned in requirements.txt, from PyPI into FOLDER. What is there already is kept.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
command -v python3 >/dev/null || { echo "Python is missing: install it, on Debian and Ubuntu with apt-get install python3." >&2; exit 1; }
python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv is missing: install it, on Debian and Ubuntu with apt-get install python3-venv." >&2; exit 1; }
sum=$(sha256sum <"$here/requirements.txt")
[ "$(cat "$folder/sum" 2>/dev/null)" = "$sum" ] && exit 0
echo "fetching DuckDB and pyarrow"
python3 -m venv "$folder"
"$folder/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
echo "$sum" >"$folder/sum"
