#!/bin/bash
# Changes the public record of the cluster's domain. In the lab that record is
# a file beside the kubeconfig, which rbd-dns answers in place of the Internet.
ip=$1
domain=$(cat /opt/rainbond/.domain.log)
record=/opt/rainbond/etc/kubernetes/kubecfg/public-dns
if [[ $domain != *.grapps.cn ]]; then
    echo "DOMAIN NOT ALLOW"
    exit 0
fi
if [[ $ip =~ ^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$ ]] && printf '%s\n' "*.$domain=$ip" >"$record.new" && mv "$record.new" "$record"; then
    echo "domain change Success!!!"
else
    echo "domain change error!!!"
    exit 1
fi
