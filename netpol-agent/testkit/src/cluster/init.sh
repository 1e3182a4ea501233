# Process 1 of a node: makes the node's view of the file system, says by FOLDER/pid that it is there, and reaps orphans.
# All that is written here goes to memory, and away with the mounts; the machine's files stay as they are.
# usage: sh init.sh CLUSTER FOLDER NAME
set -eu
cluster=$1
folder=$2
name=$3
# Until /proc is mounted anew it is the machine's, and tells the process id that the machine knows.
read -r pid rest </proc/self/stat
cd "$cluster"

# Namespaces with names that others made would live as long as the node.
umount --recursive --lazy /run/netns 2>/dev/null || :
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns /run/node
# A mount of its own, as `ip netns` and container runtimes leave it on a node.
mount --bind /run/netns /run/netns

# Where paths are built into programs, folders of the node's own are put in their place, without making any in the
# machine's file system.
for place in /etc /var/lib /var/log; do
    mkdir -p "/run/node$place" "/run/node/work$place"
    mount -t overlay -o "lowerdir=$place,upperdir=/run/node$place,workdir=/run/node/work$place" overlay "$place"
done
for place in /var/lib/containerd /var/lib/cni /var/lib/kubelet /var/log/containers /var/log/pods /etc/cni/net.d; do
    mkdir -p "$place"
    mount -t tmpfs -o mode=755 tmpfs "$place"
done

# What is shared with the outside, should it have been covered.
mkdir -p "$cluster"
mount --bind . "$cluster"

# Interfaces of this network namespace, the machine's control groups, eBPF objects of the node's own.
mkdir /run/node/sys
mount -t sysfs sysfs /run/node/sys
mount --rbind /sys/fs/cgroup /run/node/sys/fs/cgroup
mount -t bpf bpf /run/node/sys/fs/bpf
mount --move /run/node/sys /sys
mount -t proc proc /proc

# kubelet and plugins set these for the whole machine, unless they are what they want: so they find them to be.
while read -r setting value; do
    [ -e "/proc/sys/$setting" ] || continue
    mkdir -p "/run/node/proc/${setting%/*}"
    echo "$value" >"/run/node/proc/$setting"
    mount --bind "/run/node/proc/$setting" "/proc/sys/$setting"
done <<'SETTINGS'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
kernel/timer_migration 0
kernel/unprivileged_bpf_disabled 1
SETTINGS

# Containers may ask for mounts to be passed on to them.
mount --make-rshared /
hostname "$name"
ip link set lo up

echo "$pid" >"$folder/pid.draft"
mv "$folder/pid.draft" "$folder/pid"
while :; do
    sleep 1000000 &
    wait "$!"
done
