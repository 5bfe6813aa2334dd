#!/bin/sh
# Build all wheels, install them in a clean environment far from the sources, and take payments from there.
# Usage: tools/wheels.sh BIN, where BIN holds the tools of the development environment.
# What an editable install hides shows here: a template left out, an import of the repository's own folders.
set -eu

root=$(pwd)
bin=$(cd "$1" && pwd)
clean=$(mktemp -d)
trap 'rm -rf "$clean"' EXIT

for project in "$root" "$root"/plugins/*; do
    (cd "$project" && "$bin/hatchling" build -t wheel -d "$clean/wheels")
done

"$bin/uv" venv -q --python "$bin/python" "$clean/venv"
"$bin/uv" pip install -q --python "$clean/venv/bin/python" -c "$root/constraints.txt" "$clean"/wheels/*.whl

# A clean environment has neither the sources, nor the tester's settings, nor the tester's data.
cd "$clean"
mkdir home
billing() { env -i HOME="$clean/home" PATH="$clean/venv/bin:$PATH" LANG=C.UTF-8 billing "$@"; }

billing plugins > plugins.txt
cat plugins.txt
for plugin in "$root"/plugins/*; do
    grep -q "${plugin##*/}" plugins.txt || { echo "the plugin ${plugin##*/} is not among those installed from wheels" >&2; exit 1; }
done
billing demo

# A department that is taken away must not take the others along.
removed=$(basename "$(ls -d "$root"/plugins/* | tail -n 1)")
"$bin/uv" pip uninstall -q --python "$clean/venv/bin/python" "clinic-billing-$removed"
billing plugins > plugins.txt
! grep -q "$removed" plugins.txt || { echo "$removed is still listed after it was uninstalled" >&2; exit 1; }
for plugin in "$root"/plugins/*; do
    [ "${plugin##*/}" = "$removed" ] || grep -q "${plugin##*/}" plugins.txt \
        || { echo "without $removed, ${plugin##*/} is gone too" >&2; exit 1; }
done
echo "wheels: all plugins found and paid; $removed uninstalled, the others still there"
