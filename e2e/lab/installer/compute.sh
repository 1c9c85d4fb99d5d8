#!/bin/bash
# Stand-in for scripts/compute.sh of rainbond-install (v3.6): init single NAME IP KEY
# ssh, and install NAME, with the habits of setup.sh.
cd "$(dirname "$0")/.." || exit
state=/var/lib/rbdplay-lab
roster=/etc/salt/roster
trap 'echo "Exit: deleting the data"; rm -rf /grdata; exit' INT HUP

init() {
    if [ "$1" != single ] || [ $# -lt 4 ]; then echo "ERROR: need 4 args: init single <hostname> <ip> <passwd/key> <type>"; return; fi
    case $2 in compute*) ;; *) echo "ERROR: $2: the name must begin with compute"; return ;; esac
    mkdir -p /etc/salt
    if ! grep -qs "^$2 " "$roster"; then echo "$2 $3 $4 $5" >>"$roster"; fi
    echo "Init compute node $2"
    if ! grep -q "^$3 " /etc/hosts; then echo "$3 $2" >>/etc/hosts; fi
}

install() {
    local name address key kind
    read -r name address key kind < <(grep "^$1 " "$roster")
    if [ "$kind" != ssh ]; then echo "ERROR: $1 was not initialised with a key"; return; fi
    echo "will install compute node."
    echo "$(date +%s) compute.sh install $name" >>"$state/installs"
    for module in docker storage kubelet; do
        echo "Start install $module ..."
        sleep 1
    done
    if ! ssh -i "$key" -o BatchMode=yes -o StrictHostKeyChecking=yes "root@$address" /usr/local/lib/rbdplay-lab/unpack; then
        echo "ERROR: salt-ssh cannot reach $name"
        return
    fi
    # Every install writes these anew, whatever an operator has made of them.
    cp -a /usr/local/lib/rbdplay-lab/payload/etc/hosts /etc/hosts
    cp -a /usr/local/lib/rbdplay-lab/payload/opt/rainbond/compose/. /opt/rainbond/compose/
    grep "\"host_name\": \"$name\"" "$state/plan.json" | sed 's/,$//' >>"$state/rows"
    (echo '['; sort -u "$state/rows" | paste -sd,; echo ']') >"$state/nodes.json"
    echo "install compute node successfully"
}

case $1 in
init) init "${@:2}" ;;
install) install "$2" ;;
*) echo "help: init single <hostname> <ip> <password/key-path> <type:ssh>; install <hostname>" ;;
esac
exit 0
