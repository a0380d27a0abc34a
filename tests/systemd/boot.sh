#!/bin/bash
# Boot a real systemd as PID 1 in namespaces of its own, over a view of this machine that is thrown away afterwards.
#
#   boot.sh PYTHON PACKAGES CHECKOUT
#
# PYTHON, PACKAGES and CHECKOUT (folders) are shown in /opt/blogworker, as units cannot see home folders and /tmp.
# When its PID 1 ends, everything in it has ended.
# Loopback is shared, so a database and providers out here are reachable at 127.0.0.1.
set -euo pipefail

case ${1:-} in
--cgroup)
    # A control group of its own: systemd does not touch the one of the tests. It is removed at the end.
    shift
    groups=$(mktemp -d)
    mount -t cgroup2 cgroup2 "$groups"
    above=$groups$(sed -n 's/^0:://p' /proc/self/cgroup)
    own=$above/blogworker-tests-$$
    mkdir "$own"
    cleanup() {
        echo $BASHPID > "$above/cgroup.procs"
        find "$own" -depth -type d -exec rmdir {} + 2>/dev/null || true
    }
    trap cleanup EXIT
    echo $$ > "$own/cgroup.procs"
    unshare --fork --kill-child --pid --mount --ipc --uts --cgroup "$0" --machine "$@" &
    child=$!
    trap 'kill -KILL $child 2>/dev/null || true' TERM INT
    wait $child || true
    ;;
--machine)
    shift
    python=$1 packages=$2 checkout=$3
    mount --make-rprivate /
    scratch=/run # of this namespace only
    mount -t tmpfs tmpfs "$scratch"
    mkdir "$scratch"/{upper,work,root}
    root=$scratch/root
    mount -t overlay overlay -o lowerdir=/,upperdir="$scratch/upper",workdir="$scratch/work" "$root"
    mkdir -p "$root"/opt/blogworker/{bin,python,packages,checkout}
    for shown in python packages checkout; do
        mount --bind "${!shown}" "$root/opt/blogworker/$shown"
        mount -o remount,bind,ro "$root/opt/blogworker/$shown"
    done
    cat > "$root/opt/blogworker/bin/blogworker" <<'PROGRAM'
#!/bin/sh
export LD_LIBRARY_PATH=/opt/blogworker/python/lib PYTHONPATH=/opt/blogworker/checkout:/opt/blogworker/packages
exec /opt/blogworker/python/bin/python3 -c '
import sys
sys.argv[0] = "/opt/blogworker/bin/blogworker"
from blogworker.cli.app import main
main()' "$@"
PROGRAM
    chmod 755 "$root/opt/blogworker/bin/blogworker"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    rm -rf "$root"/etc/systemd/system/{*.wants,blogworker*} "$root"/var/log/journal
    for unit in systemd-udevd systemd-udev-trigger systemd-timesyncd systemd-networkd systemd-tmpfiles-setup-dev; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
    done
    ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
    echo machine > "$root/etc/hostname"
    cd "$root"
    mkdir -p .outside
    pivot_root . .outside
    umount -l /.outside
    mount --make-rshared /
    export container=oci
    exec /lib/systemd/systemd --system --unit=multi-user.target --show-status=0
    ;;
*)
    exec unshare --mount --propagation private "$0" --cgroup "$@"
    ;;
esac
