#!/bin/sh
# Boot a real systemd in namespaces of its own, over a copy-on-write view of this machine's files.
# Called inside `unshare`: boot.sh WORK SOURCES SITE PYTHON, where WORK holds cc/ with what runs in there and takes the report.
set -eu
work=$1 sources=$2 site=$3 python=$4
mount -t tmpfs tmpfs "$work/tmpfs"
mkdir "$work/tmpfs/u" "$work/tmpfs/w" "$work/tmpfs/m"
root="$work/tmpfs/m"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/tmpfs/u,workdir=$work/tmpfs/w" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t sysfs sysfs "$root/sys" || mount --bind /sys "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mkdir -p "$root/opt/cc" "$root/opt/sources" "$root/opt/site" "$root/opt/python"
mount --bind "$work/cc" "$root/opt/cc"
for name in sources site python; do
    eval "from=\$$name"
    mount --bind "$from" "$root/opt/$name"
    mount -o remount,bind,ro "$root/opt/$name"
done
mkdir "$root/opt/app"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$work/console" "$root/dev/console"
chroot "$root" useradd --create-home --shell /bin/sh --uid 4242 ada
chroot "$root" useradd --create-home --shell /bin/sh --uid 4243 bob
mkdir -p "$root/var/lib/systemd/linger"
: >"$root/var/lib/systemd/linger/ada"
units="$root/etc/systemd/system"
cat >"$units/ccagent-rig.service" <<'UNIT'
[Unit]
After=basic.target user@4242.service dbus.service
[Service]
ExecStart=/opt/cc/scenario
StandardOutput=file:/opt/cc/scenario.log
StandardError=inherit
ExecStopPost=/bin/systemctl poweroff -f -f
UNIT
cat >"$units/ccagent-rig.target" <<'UNIT'
[Unit]
Requires=basic.target
After=basic.target
Wants=systemd-journald.service systemd-logind.service dbus.service user@4242.service ccagent-rig.service
AllowIsolate=yes
UNIT
# Not chroot: whoever is in one may make no user namespace, which is what the unit is to be tried with.
mkdir "$root/opt/old"
cd "$root"
pivot_root . opt/old
umount -l /opt/old
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=ccagent-rig.target --log-target=console --log-level=info --show-status=yes
