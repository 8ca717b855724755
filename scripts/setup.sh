#!/bin/sh
# Runs setup.py on any Python from 3.8 on; setup.py then finds the one that .venv is made with.
here=$(dirname "$0")
for python in "${ARMADA_PYTHON:-python3}" python3 python3.12 python3.13 python3.14 python \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1; then
    exec "$python" "$here/setup.py"
  fi
done
if command -v uv >/dev/null 2>&1; then
  exec uv run --quiet --no-project --python 3.12 "$here/setup.py"
fi
echo "setup: no Python 3 was found; install Python 3.12, or name it: ARMADA_PYTHON=/path/to/python3.12 make …" >&2
exit 1
