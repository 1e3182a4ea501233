#!/bin/busybox sh
# The machine's first process: sees to this machine's files, runs /command among them, tells its exit status, and ends.
b() { /bin/busybox "$@"; }
b mount -t proc proc /proc
b mount -t sysfs sysfs /sys
b mount -t devtmpfs devtmpfs /dev
for module in /load/*.ko; do b insmod "$module"; done
b mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose host /host
b mount --bind /host@MODULES@ /lib/modules
b mount -t proc proc /host/proc
b mount -t sysfs sysfs /host/sys
b mount --bind /dev /host/dev
b mount -t bpf bpf /host/sys/fs/bpf
b mount -t tmpfs tmpfs /host/tmp
b mount -t tmpfs tmpfs /host/run
b mkdir /host/run/lock
b ip link set lo up
b cp /command /host/run/command
b chroot /host /usr/bin/env -i HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    sh /run/command </dev/null
status=$?
echo
echo "@STATUS@$status"
b poweroff -f
