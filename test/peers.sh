#!/bin/bash
# Installs the programs that the full test run compares with, where it may; says loudly what it could not get.
set -u
packages="gcc g++ pkg-config libmodsecurity-dev libxml2-dev apache2 libapache2-mod-security2 modsecurity-crs nginx libnginx-mod-http-modsecurity nmap sqlmap curl wrk chromium openssl apache2-utils pcre2-utils ssdeep iproute2 netcat-openbsd"
missing=
for p in $packages; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "PEERS MISSING, their tests will be skipped:$missing (run as root on Debian to have them installed)" >&2
  exit 0
fi
# The packages' own services must not start: the tests start each program themselves, on ports of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >/dev/null 2>&1
if ! apt-get install -y -qq --no-install-recommends $missing >/tmp/trapline-peers.log 2>&1; then
  for p in $missing; do
    apt-get install -y -qq --no-install-recommends "$p" >>/tmp/trapline-peers.log 2>&1 ||
      echo "PEER MISSING, its tests will be skipped: $p (see /tmp/trapline-peers.log)" >&2
  done
fi
exit 0
