#!/bin/sh
# Run a command in control groups: every argument up to `--` is a cgroup directory.
set -eu
while [ "$1" != -- ]; do
    echo $$ > "$1/cgroup.procs"
    shift
done
shift
exec "$@"
