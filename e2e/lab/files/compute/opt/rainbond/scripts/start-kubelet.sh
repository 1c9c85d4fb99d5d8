#!/bin/bash
exec /usr/local/bin/kubelet \
    --address="$HOST_IP" \
    --hostname-override="$HOST_UUID" \
    --cluster-dns="$DNS_SERVERS" \
    --cluster-domain=cluster.local \
    --kubeconfig=/opt/rainbond/etc/kubernetes/kubecfg/admin.kubeconfig \
    --node-name="$(hostname)" \
    --app-image={{.AppImage}} \
    --app-port={{.AppPort}}
