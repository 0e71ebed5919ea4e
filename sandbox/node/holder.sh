#!/bin/sh
# The first process of a node, already in new mount, network, UTS, IPC and cgroup namespaces. It turns the
# directory $1 into the root of the node, named $2, and then only keeps the namespaces alive.
set -eu
root=$1
name=$2

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount --make-rslave "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
ln -sfn /run "$root/var/run"

# The machine's own settings stay as they are; those of the network are the namespace's.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t proc proc "$root/mnt"
mount --bind "$root/mnt/sys/net" "$root/proc/sys/net"
umount "$root/mnt"
# The kubelet insists on some, and is content to find them: what it finds are these files.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    path=${setting%=*}
    file=$root/run/sysctl/$path
    mkdir -p "${file%/*}"
    echo "${setting#*=}" > "$file"
    mount --bind "$file" "$root/proc/sys/$path"
done

# The hierarchies that the machine has, each from our own group down: the cgroup namespace begins there.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    # Version 2 wants processes in leaves only.
    mkdir -p "$root/sys/fs/cgroup/daemons"
    echo $$ > "$root/sys/fs/cgroup/daemons/cgroup.procs"
else
    mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
    while IFS=: read -r _ controllers _; do
        [ -n "$controllers" ] || continue
        directory=$root/sys/fs/cgroup/${controllers#name=}
        mkdir -p "$directory"
        case $controllers in
            name=*) mount -t cgroup -o "none,$controllers" cgroup "$directory" ;;
            *) mount -t cgroup -o "$controllers" cgroup "$directory" ;;
        esac
    done < /proc/self/cgroup
fi

echo "$name" > /proc/sys/kernel/hostname
cd "$root"
mkdir -p .machine
pivot_root . .machine
umount -l /.machine
rmdir /.machine

ip link set lo up
mount --make-rshared /
echo 1 > /proc/sys/net/ipv4/ip_forward
exec sleep infinity
