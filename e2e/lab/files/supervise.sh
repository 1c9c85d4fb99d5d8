#!/bin/sh
# Runs one node: its network namespace and its systemd-nspawn, again after a
# reboot, until it powers off. Leaves nothing behind but what SIGKILL prevents.
# Environment: CGROUPS NETNS LINK BRIDGE MAC ADDRESS; arguments: the nspawn.
for dir in $CGROUPS; do
    echo $$ >"$dir/cgroup.procs" || exit 1
done
network() {
    ip netns add "$NETNS" &&
        ip link add "$LINK" type veth peer name eth0 address "$MAC" netns "$NETNS" &&
        ip link set "$LINK" addrgenmode none master "$BRIDGE" up &&
        ip -n "$NETNS" link set lo up &&
        ip -n "$NETNS" link set eth0 addrgenmode none &&
        ip -n "$NETNS" addr add "$ADDRESS/24" brd + dev eth0 &&
        ip -n "$NETNS" link set eth0 up
}
while :; do
    network || exit 1
    "$@"
    code=$?
    # Takes the veth pair with it: a node that is off answers nothing.
    ip link del "$LINK"
    ip netns del "$NETNS"
    [ "$code" = 133 ] || exit "$code"
done
