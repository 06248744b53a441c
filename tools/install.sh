#!/usr/bin/env bash
# Make .venv from the hash-pinned requirements, or bring it up to date; where it is, do nothing.
set -euo pipefail
cd -P "$(dirname "$0")/.."

stamp=.venv/installed
digest() { .venv/bin/python -c 'import hashlib, sys
print(hashlib.sha256(b"".join(open(name, "rb").read() for name in sys.argv[1:])).hexdigest())' \
  requirements.txt pyproject.toml tools/install.sh; }
is_3_11() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }

# The programs of an environment and its link to the sources name the folder for which it was made, as pyvenv.cfg does.
is_of_this_folder() {
  local made
  made=$(grep -s '^command = ' .venv/pyvenv.cfg) || return 0
  [[ -L .venv || "$made" == *" $PWD/.venv" ]]
}

usable=false
if is_3_11 .venv/bin/python && is_of_this_folder; then usable=true; fi
# Never cleared: the folder behind the link may belong to others.
if [[ -L .venv && $usable == false ]]; then
  echo ".venv is a link to $(readlink .venv), expected an environment of Python 3.11 there; remove the link to get an" \
    "environment in this folder" >&2
  exit 1
fi
if [[ -L .venv && -e .venv/../tools/install.sh ]]; then
  echo ".venv is a link to $(readlink .venv), the environment of another folder, and is left as it is; remove the link" \
    "to get an environment in this folder" >&2
  [[ -f $stamp ]] && exit 0 || exit 1
fi
[[ $usable == true && -f $stamp && "$(<$stamp)" == "$(digest)" ]] && exit 0

# Not the environment's own Python, which has no pip after it was made anew.
PATH=${PATH//"$PWD/.venv/bin:"/}
python=${PYTHON:-$(command -v python3.11 || command -v python3 || true)}
if [[ -z $python ]] || ! is_3_11 "$python"; then
  found="found no Python"
  if [[ -n $python ]]; then
    found="$python is $("$python" --version 2>/dev/null)" || found="$python does not run"
  fi
  echo "$found, expected Python 3.11; install it, or name one with: make PYTHON=/path/to/python3.11" >&2
  exit 1
fi

# The blocks of some packages, hashes included.
pins() { awk -v names="^($1)==" '/^[A-Za-z0-9]/ { keep = ($0 ~ names) } keep' requirements.txt; }

if [[ $usable == false ]]; then
  [[ ! -e .venv ]] || echo ".venv is no environment of Python 3.11 that works in this folder; it is made anew" >&2
  "$python" -m venv --clear --without-pip .venv
fi
rm -f "$stamp"
pins uv >.venv/uv.txt
"$python" -m pip --python .venv/bin/python install --quiet --require-hashes --requirement .venv/uv.txt
# uv does not read pip's settings, so it is given the mirror that they name. A local index, or one beside further ones,
# may hold only some packages; uv keeps its own settings then.
pip_setting() { "$python" -m pip config get "global.$1" 2>/dev/null || true; }
if [[ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]]; then
  index=${PIP_INDEX_URL:-$(pip_setting index-url)}
  if [[ $index =~ ^https?:// && -z "${PIP_EXTRA_INDEX_URL:-$(pip_setting extra-index-url)}" ]]; then
    export UV_DEFAULT_INDEX=$index
  fi
fi
install=(.venv/bin/uv pip install --quiet --python .venv/bin/python)
echo "installing the pinned packages (4.6 GB of them torch and its GPU libraries)" >&2
# Some packages come as source and find what builds them only in the environment itself.
pins 'numpy|setuptools|wheel|packaging|versioneer|cython' >.venv/build.txt
"${install[@]}" --require-hashes --requirement .venv/build.txt
# Bytecode is compiled once here: every job of a run starts a fresh interpreter.
SAM2_BUILD_CUDA=0 "${install[@]}" --compile-bytecode --no-build-isolation --require-hashes --requirement requirements.txt
"${install[@]}" --no-build-isolation --no-deps --editable .
digest >"$stamp"
