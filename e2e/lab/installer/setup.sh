#!/bin/bash
# Stand-in for setup.sh of rainbond-install (v3.6), with its interface and habits, as
# far as they are known: it asks for the network card when there are several, stops
# everything and deletes the data at SIGHUP and SIGINT, and exits 0 when it fails.
# The file lab-fault beside it names a step that fails.
cd "$(dirname "$0")" || exit
state=/var/lib/rbdplay-lab

clear_all() {
    echo "Exit: stopping everything and deleting the data"
    systemctl stop docker.socket docker rbdplay-lab-controlplane 2>/dev/null
    rm -rf /grdata /opt/rainbond
}
trap 'clear_all; exit' INT HUP

# Sets address.
choose_card() {
    local cards=() card chosen
    mapfile -t cards < <(ls /sys/class/net | grep -v '^lo$')
    chosen=${cards[0]}
    if [ ${#cards[@]} -gt 1 ]; then
        echo "The system has multiple network cards, please select the device to use:"
        for card in "${cards[@]}"; do echo "$card: $(address_of "$card")"; done
        read -r -p "Press Enter to use the default device or input device name ( ${cards[*]} ):" card
        chosen=${card:-$chosen}
    fi
    address=$(address_of "$chosen")
}
address_of() { ip -4 -o address show "$1" | awk '{sub("/.*", "", $4); print $4; exit}'; }

step() {
    echo -e "\e[32mStart install $1 ...\e[0m"
    sleep 1
    if [ "$(cat lab-fault 2>/dev/null)" = "$1" ]; then
        echo "ERROR: state $1 failed: the lab wants it to"
        return 1
    fi
}

install_all() {
    for module in docker etcd storage; do step "$module" || return; done
    mkdir -p /grdata && touch /grdata/lab-canary
    for module in kubernetes node db plugins proxy; do step "$module" || return; done
    # As the node list has it: this node alone, with the address that was chosen.
    grep '"role": "manage"' "$state/plan.json" | sed -e 's/,$//' -e "s/\"internal_ip\": \"[^\"]*\"/\"internal_ip\": \"$address\"/" >"$state/rows"
    (echo '['; paste -sd, "$state/rows"; echo ']') >"$state/nodes.json"
    /usr/local/lib/rbdplay-lab/unpack || return
    echo "install successfully"
    echo "http://$address:7070"
}

case $1 in
install)
    clear
    echo "$(date +%s) setup.sh install" >>"$state/installs"
    choose_card
    echo "will install manage node at $address. It will take 15-30 minutes to install"
    install_all
    ;;
*) echo "help: install --- install cmd" ;;
esac
exit 0
