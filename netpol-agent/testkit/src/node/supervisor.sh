# Keeps a node: starts its process 1, and cleans up once stdin ends or a signal comes, whatever became of who started it.
# The line "keep" on stdin makes it stay until a line comes through FOLDER/control.
# usage: sh supervisor.sh FOLDER NAME
folder=$1
name=$2
trap : HUP INT TERM

unshare --mount --net --pid --uts --ipc --fork --kill-child --propagation private \
    sh "$folder/init.sh" "$folder" "$name" </dev/null >"$folder/log/init" 2>&1 &
spaces=$!
read -r word
if [ "$word" = keep ]; then
    read -r word <>"$folder/control"
fi

# The kernel kills process 1 with its parent, and all processes of the node with process 1.
kill -KILL "$spaces"
wait "$spaces"
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
