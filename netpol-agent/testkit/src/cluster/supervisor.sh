# Keeps a cluster: starts each node's process 1 and the namespace of the network between the nodes, and cleans up once
# stdin ends or a signal comes, whatever became of who started it.
# The line "keep" on stdin makes it stay until a line comes through FOLDER/control.
# usage: sh supervisor.sh FOLDER NAME NODES
folder=$1
name=$2
nodes=$3
trap : HUP INT TERM

# A sleeping process holds the network's namespace.
unshare --net --fork --kill-child sh -c 'read -r pid rest </proc/self/stat
    echo "$pid" >"$1/lan.draft"
    mv "$1/lan.draft" "$1/lan"
    exec sleep infinity' sh "$folder" </dev/null >"$folder/lan.log" 2>&1 &
all=$!
node=1
while [ "$node" -le "$nodes" ]; do
    at=$folder/node$node
    unshare --mount --net --pid --uts --ipc --fork --kill-child --propagation private \
        sh "$folder/init.sh" "$folder" "$at" "node$node" </dev/null >"$at/log/init" 2>&1 &
    all="$all $!"
    node=$((node + 1))
done
read -r word
if [ "$word" = keep ]; then
    read -r word <>"$folder/control"
fi

# The kernel kills process 1 with its parent, and all processes of a node with process 1.
for process in $all; do
    kill -KILL "$process"
    wait "$process"
done
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    cgroup=$hierarchy/$name
    tries=100
    # It can be removed once the last process in it is gone.
    while [ -d "$cgroup" ] && [ "$tries" -gt 0 ]; do
        find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null
        [ -d "$cgroup" ] && sleep 0.1
        tries=$((tries - 1))
    done
done
rm -rf -- "$folder"
