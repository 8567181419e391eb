#!/bin/sh
# box.sh keep CLONE FOLDER    makes the box of box.py, which says what that is, and keeps it until the other
#                             end of standard input is closed: the kernel does that for a test run that is
#                             killed.  It mounts on FOLDER, in a mount namespace that it has to itself.
# box.sh boot CLONE FOLDER    becomes PID 1 of the box; called by the other
set -eu
verb=$1 clone=$2 folder=$3

keep() {
    mount -t tmpfs box "$folder"
    mkdir "$folder/root" "$folder/cgroups"
    # Other boxes have a systemd in the same place of the tree of cgroups; each gets one to itself.
    mount -t cgroup2 cgroup2 "$folder/cgroups"
    cgroup=$folder/cgroups$(sed -n 's/^0:://p' /proc/self/cgroup)/tsserv-box-$$
    mkdir "$cgroup"
    # shellcheck disable=SC2016 # meant for that shell
    sh -c 'echo $$ >"$1" && shift && exec "$@"' sh "$cgroup/cgroup.procs" \
        unshare --fork --pid --mount --uts --ipc --net --cgroup sh "$0" boot "$clone" "$folder" </dev/null &
    exec >/dev/null 2>&1
    cat
    xargs -r kill -KILL <"/proc/$!/task/$!/children" || true # PID 1, with which everything ends
    wait
    find "$cgroup" -depth -type d -exec rmdir {} +
}

# Shows the files of $1 in $2; what is written there goes to memory, under the name $3.
lay() {
    mkdir -p "$2" "$folder/$3" "$folder/$3-work"
    (cd "$1" && mount -t overlay overlay -o "lowerdir=.,upperdir=$folder/$3,workdir=$folder/$3-work" "$2")
}

boot() {
    read -r init _ </proc/self/stat # /proc is still the machine's, and counts as the machine does
    lay / "$folder/root" root-files
    lay "$clone" "$folder/root/clone" clone-files
    cp --remove-destination /etc/resolv.conf "$folder/root/etc/" || true # may be a link into /run
    cd "$folder/root"
    for empty in dev run tmp var/log etc/systemd/system; do # no units and no journal of the machine's
        mount -t tmpfs -o mode=755 box "$empty"
    done
    chmod 1777 tmp
    for device in null zero full random urandom tty; do
        touch "dev/$device"
        mount --bind "/dev/$device" "dev/$device"
    done
    ln -s pts/ptmx dev/ptmx
    mount -t proc proc proc
    mount --bind proc/sys proc/sys
    mount --bind proc/sys/net proc/sys/net # of the box's own network
    mount -o remount,bind,ro proc/sys
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    pivot_root . .
    umount -l .
    echo "$init"
    exec >/dev/null 2>&1 env -i container=box PATH="$PATH" \
        /lib/systemd/systemd --unit=sysinit.target --show-status=no
}

"$verb"
