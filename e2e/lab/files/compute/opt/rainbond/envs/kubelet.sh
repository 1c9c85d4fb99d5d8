HOST_UUID={{.Node.UUID}}
DNS_SERVERS={{.Manage.IP}}
HOST_IP={{.Node.IP}}
REG="false"
