#!/usr/bin/env bash
# Runs one command as a pod's container would run it, without a container runtime; test_pod.py calls it (as root) in
# mount and process namespaces of its own.
#
#   container.sh FOLDER BENTO VOLUME MOUNT USER TMP_SIZE PREFIX HIDE WORKDIR NAME=VALUE... -- COMMAND...
#
# The root is this machine's, read-only, with what the image has in it: the bento in /home/bentoml/bento, and Python's
# environment PREFIX in /app/.venv; the folder HIDE/PACKAGE of each package of the checkout is empty. Only the volume and
# /tmp can be written. The user has no capabilities and can gain none.
set -eu
folder=$1 bento=$2 volume=$3 mount=$4 user=$5 tmp_size=$6 prefix=$7 hide=$8 workdir=$9
shift 9
variables=()
while [ "$1" != -- ]; do variables+=("$1"); shift; done
shift

mkdir -p "$folder"
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
root=$folder/root

mkdir -p "$root/home/bentoml/bento" "$root/app" "$root$mount"
ln -s "$prefix" "$root/app/.venv"
part=$(dirname "$(readlink -f "$prefix/bin/python")")
while [ "$part" != / ]; do chmod o+x "$root$part"; part=$(dirname "$part"); done # the user must reach the interpreter
for package in service adapters models graft tests; do mount -t tmpfs -o ro tmpfs "$root$hide/$package"; done

mount --bind "$bento" "$root/home/bentoml/bento"
mount -o remount,bind,ro "$root/home/bentoml/bento"
mount --bind "$volume" "$root$mount"
mount -t tmpfs -o "size=$tmp_size,mode=1777" tmpfs "$root/tmp"
# A checkout in /tmp has its environment there, which the new /tmp would hide.
case $prefix in /tmp/*) mkdir -p "$root$prefix" && mount --bind "$prefix" "$root$prefix" ;; esac
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=64k,mode=755 tmpfs "$root/dev"
mkdir "$root/dev/shm"
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$root/dev/shm"
for device in null zero random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -o remount,ro "$root"

# shellcheck disable=SC2016  # expanded by the inner shell
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs \
    --inh-caps -all --bounding-set -all \
    env -i "${variables[@]}" bash -c 'cd "$0" && exec "$@"' "$workdir" "$@"
